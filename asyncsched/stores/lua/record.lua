-- Writes down how ticks ended: each job's history gets its newest endings, and loses what is too many or too old.
--
-- KEYS    for each job: history (list of texts that begin {"at":<microseconds since the epoch>, the newest first)
-- ARGV    most endings of a job, oldest_us (what ended before is dropped), kept_ms,
--         number of the first jobs whose history is looked after: what is too old in it, and when it expires;
--         then for each job: number of texts, and the texts, the newest last
-- Answer  a string with a letter for each job: w (written) or f (its key holds something foreign, and was left alone)
--
-- A job's endings are written by one command, and nothing rests on them: a call that fails may be repeated, and then
-- some stand there twice.

local MOST_AT_ONCE = 50
local call, try, match = redis.call, redis.pcall, string.match
local most, oldest_us, kept_ms, to_tend = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local function is_old(text)
  local at = match(text, '^{"at":(%d+),')
  return not at or tonumber(at) < oldest_us
end

-- How many of the last texts are too old; of many, some are left for the next time.
local function old_ones(key)
  local last = call('LRANGE', key, -1, -1)
  if not last[1] or not is_old(last[1]) then return 0 end
  local count = 0
  last = call('LRANGE', key, -MOST_AT_ONCE, -1)
  for index = #last, 1, -1 do
    if not is_old(last[index]) then break end
    count = count + 1
  end
  return count
end

local function is_failure(reply)
  return type(reply) == 'table' and reply.err ~= nil and string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE'
end

-- Whoever may push, but not trim, would push without end: a right that is missing shows before anything is written.
local replies = { try('LTRIM', KEYS[1], 0, -1), try('LRANGE', KEYS[1], 0, 0), try('PEXPIRE', KEYS[1], kept_ms) }
for nth = 1, #replies do
  if is_failure(replies[nth]) then return replies[nth] end
end

local letters = {}
local arg = 5
for nth, key in ipairs(KEYS) do
  local count = tonumber(ARGV[arg])
  local length = try('LPUSH', key, unpack(ARGV, arg + 1, arg + count))
  arg = arg + 1 + count
  if type(length) == 'table' then
    if is_failure(length) then return length end -- it says nothing about the key
    letters[nth] = 'f'
  else
    if length > most then call('LTRIM', key, 0, most - 1) end
    if nth <= to_tend or length == count then -- a list that has just been made does not expire yet
      local old = old_ones(key)
      if old > 0 then call('LTRIM', key, 0, -1 - old) end
      call('PEXPIRE', key, kept_ms)
    end
    letters[nth] = 'w'
  end
end
return table.concat(letters)
