-- Writes down how ticks ended: each job's history gets its newest endings, and loses what is too many or too old.
--
-- KEYS    for each job: history (list of texts that begin {"at":<microseconds since the epoch>, the newest first)
-- ARGV    most endings of a job, oldest_us (what ended before is dropped), kept_ms;
--         then for each job: number of texts, and the texts, the newest last
-- Answer  a string with a letter for each job: w (written) or f (its key holds something foreign, and was left alone)
--
-- A job's endings are written by one command, and nothing rests on them: a call that fails may be repeated, and then
-- some stand there twice.

local MOST_AT_ONCE = 50
local most, oldest_us, kept_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local function is_old(text)
  local at = string.match(text, '^{"at":(%d+),')
  return not at or tonumber(at) < oldest_us
end

-- How many of the last texts are too old; of many, some are left for the next time.
local function old_ones(key)
  local last = redis.call('LRANGE', key, -1, -1)
  if not last[1] or not is_old(last[1]) then return 0 end
  local count = 0
  last = redis.call('LRANGE', key, -MOST_AT_ONCE, -1)
  for index = #last, 1, -1 do
    if not is_old(last[index]) then break end
    count = count + 1
  end
  return count
end

local letters = {}
local arg = 4
for nth, key in ipairs(KEYS) do
  local count = tonumber(ARGV[arg])
  local length = redis.pcall('LPUSH', key, unpack(ARGV, arg + 1, arg + count))
  arg = arg + 1 + count
  if type(length) == 'table' then
    -- No permission, ...: the whole call fails with it, for it says nothing about the key.
    if string.sub(tostring(length.err), 1, 9) ~= 'WRONGTYPE' then return length end
    letters[nth] = 'f'
  else
    if length > most then redis.call('LTRIM', key, 0, most - 1) end
    local old = old_ones(key)
    if old > 0 then redis.call('LTRIM', key, 0, -1 - old) end
    redis.call('PEXPIRE', key, kept_ms)
    letters[nth] = 'w'
  end
end
return table.concat(letters)
