-- Tells who holds which locks of jobs, and what is recorded of their ticks. Writes nothing.
--
-- KEYS    for each job: server, start, overlap (strings "<owner>|<fence>"), tick (hash: tick, run, fence), open (hash:
--         for each tick that was granted and has not finished "<attempt>|<owner>")
-- ARGV    most slots of a job
-- Answer  for each lock, record and open tick that there is four:
--           number of the job, from 0 on; what the key's name ends with;
--           value: of a lock as it stands; of `tick` "<tick>|<fence>|<owner>"; of `open` "<tick>|<attempt>|<owner>";
--           milliseconds until it ends (-1: never)
--
-- Two sorts of keys are not named: their names follow from those that are, and they are in the same slot.
--   overlap:<slot>   the slots of a job but the first: there may be many, and mostly there is none
--   run:<tick>       who runs an open tick
-- What is of another type is passed over.

local failure

local function there(reply)
  if type(reply) == 'table' and reply.err then
    if string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE' then failure = reply end
    return nil
  end
  return reply or nil
end

local found = {}
local function add(job, suffix, value, key)
  local size = #found
  found[size + 1], found[size + 2], found[size + 3], found[size + 4] = job, suffix, value, redis.call('PTTL', key)
end

local function add_lock(job, suffix, key)
  local value = there(redis.pcall('GET', key))
  if value then add(job, suffix, value, key) end
end

for first = 1, #KEYS, 5 do
  local job = (first - 1) / 5
  local overlap, tick, open = KEYS[first + 2], KEYS[first + 3], KEYS[first + 4]
  add_lock(job, 'server', KEYS[first])
  add_lock(job, 'start', KEYS[first + 1])
  add_lock(job, 'overlap', overlap)
  for slot = 1, tonumber(ARGV[1]) - 1 do
    add_lock(job, 'overlap', overlap .. ':' .. slot)
  end
  local record = there(redis.pcall('HMGET', tick, 'tick', 'fence', 'run'))
  if record and record[1] and record[2] and record[3] then
    add(job, 'tick', record[1] .. '|' .. record[2] .. '|' .. record[3], tick)
  end
  local entries = there(redis.pcall('HGETALL', open)) or {}
  for nth = 1, #entries, 2 do
    add(job, 'open', entries[nth] .. '|' .. entries[nth + 1], open)
    add_lock(job, 'run:' .. entries[nth], string.sub(open, 1, -5) .. 'run:' .. entries[nth])
  end
  if failure then return failure end
end
return found
