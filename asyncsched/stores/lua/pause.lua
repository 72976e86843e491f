-- Pauses or resumes one job: in its state, which claims look at, and in the index of paused jobs, which every
-- node reads once a second for the jobs that claim nothing. Both or neither, so that no node sees only half
-- of it.
--
-- KEYS    state (hash: paused), index (set of the paused jobs' names)
-- ARGV    job, "1" to pause or "0" to resume
-- Answer  1

redis.call('HGET', KEYS[1], 'paused') -- fails if the state is foreign, while nothing is written yet
if ARGV[2] == '1' then
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[1], 'paused', '1')
else
  redis.call('SREM', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[1], 'paused')
end
return 1
