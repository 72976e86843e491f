-- Stands in front of `claim.lua`: reads the clock, and the keys of one job, strictly. It decides and writes nothing.
--
-- Numbers become text by %.0f only: tostring() writes 1.7e+15. Microseconds stay below 2^53, so they are exact.

local LARGEST, MOST_OPEN = 9007199254740991, 50
-- In so many parts of its time to live, from grant to grant, a record gets that anew once. What it ends with stands in the
-- state as well, so a part of it is not worth a command for each tick.
local PERIODS = 128
local GRANTED, OVERLAPPED, LOST = '1', '0', '-1'
local KNOWN = { [GRANTED] = true, [OVERLAPPED] = true, [LOST] = true }
local call, try, find, match, format = redis.call, redis.pcall, string.find, string.match, string.format

local clock = call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local late = now > tonumber(ARGV[1])
local now_text = format('%.0f', now)
local latest = now + tonumber(ARGV[2])
-- No claim writes a tick ahead of the clock. One that lies further ahead than a clock that was set back explains is
-- foreign: taken for decided, it would stop the job without a word until that day.
local furthest = now + 86400000000

-- An error that says nothing about the key (no permission, ...): the whole call fails with it.
local failure

local function refuse(reply)
  if string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE' then failure = reply end
  return false
end

-- What was read as a number before, in this call: jobs that are due together share their ticks and fences.
local numbers = {}

local function integer(text)
  if not text then return nil end
  local number = numbers[text]
  if number == nil then
    number = find(text, '^%d+$') and tonumber(text) or false
    if number and number > LARGEST then number = false end
    numbers[text] = number
  end
  return number or nil
end

-- understood, fence floor, paused, newest tick ever granted, number of granted ticks if that is limited
local function read_state(key, limited)
  local fields = limited and try('HMGET', key, 'fence', 'paused', 'tick', 'runs') or try('HMGET', key, 'fence', 'paused', 'tick')
  if fields.err then return refuse(fields) end
  local floor, granted_tick, runs = integer(fields[1] or '0'), integer(fields[3] or '0'), integer(fields[4] or '0')
  local understood = floor and granted_tick and runs and granted_tick <= furthest or false
  return understood, floor, fields[2] and true or false, granted_tick, runs
end

-- understood, tick, run, fence, granted (tick is nil without a record)
local function read_record(fields)
  if fields.err then return refuse(fields) end
  if not (fields[1] or fields[2] or fields[3] or fields[4]) then return true end
  local tick, fence = integer(fields[1]), integer(fields[3])
  return tick and tick <= furthest and fence and fields[2] and KNOWN[fields[4]] or false, tick, fields[2], fence, fields[4]
end

-- understood, owner, fence (owner is nil while the lock is free)
local function read_lock(key)
  local value = try('GET', key)
  if not value then return true end
  if type(value) == 'table' then return refuse(value) end
  local owner, digits = match(value, '^([^|]+)|(%d+)$')
  local fence = integer(digits)
  return fence ~= nil, owner, fence
end

-- understood, entries by tick, of each its attempt and its owner
local function read_open(key)
  local fields = try('HGETALL', key)
  if fields.err then return refuse(fields) end
  local open = {}
  for at = 1, #fields, 2 do
    local attempt, owner = match(fields[at + 1], '^(%d+)|(.+)$')
    attempt = integer(attempt)
    if not attempt or not integer(fields[at]) then return false end
    open[fields[at]] = { attempt = attempt, owner = owner }
  end
  return true, open
end

-- Finds, of the job's overlap locks, the one that it has, or else the first that is free, or else the last; answers the
-- name of a key that was not understood.
local function read_slots(job)
  for slot = job.slots - 1, 0, -1 do
    local key = KEYS[job.slots_at + slot]
    local ok, owner, fence = read_lock(key)
    if not ok then return slot > 0 and 'overlap:' .. slot or 'overlap' end
    if not owner or owner == job.owner or slot == job.slots - 1 then
      job.slot, job.overlap_key, job.overlap, job.overlap_fence = slot, key, owner, fence
    end
    if owner == job.owner then return end
  end
end

-- Reads all keys of the job into it, `fields` being its record; answers the name of the first key that was not
-- understood.
local function read(job, fields)
  local ok
  ok, job.floor, job.paused, job.granted_tick, job.runs = read_state(job.state_key, job.limited)
  if not ok then return 'state' end
  if job.record_key then
    ok, job.recorded, job.run, job.record_fence, job.granted = read_record(fields)
    if not ok then return 'tick' end
    ok, job.server, job.server_fence = read_lock(job.server_key)
    if not ok then return 'server' end
  end
  if job.start_key then
    ok, job.start, job.start_fence = read_lock(job.start_key)
    if not ok then return 'start' end
  end
  if job.open_key then
    ok, job.open = read_open(job.open_key)
    if not ok then return 'open' end
    ok, job.running, job.run_fence = read_lock(job.run_key)
    if not ok then return 'run' end
  end
  if job.slots > 1 then return read_slots(job) end
  if job.overlap_key then
    ok, job.overlap, job.overlap_fence = read_lock(job.overlap_key)
    if not ok then return 'overlap' end
  end
end
