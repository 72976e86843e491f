-- Decides a chunk of claims, each job atomically, all by one reading of the server's clock.
--
-- KEYS    for each job, in this order, only those that its flags name:
--           state     always    hash: paused, fence (the floor: the newest fence ever granted)
--           tick      flag R    hash: tick, run, fence, granted ("1" granted, "0" consumed by an overlap,
--                               "-1" consumed because the record of earlier ticks was lost)
--           server    flag R    string "<owner>|<fence>"
--           start     flag S    string "<owner>|<fence>"
--           overlap   flag O    string "<owner>|<fence>"
-- ARGV    deadline_us, ahead_us; then for each job six:
--           flags (T: has a fire time; R: record it, and lease `server`; S: the immediate run; O: no overlap),
--           owner, tick_us, lock_ttl_ms, retain_ms, remembered_us (0: nothing remembered)
-- Answer  now_us; then for each job three:
--           verdict
--           value: the fence with "won", microseconds to wait with "early", the key with "corrupt", else 0
--           newest_us: the newest decided tick of the job (0: none, or not recorded)
--
-- Numbers become text by %.0f only: tostring() writes 1.7e+15. Microseconds stay below 2^53, so they are
-- exact. Nothing of a job is written before all that it needs has been read and understood.

local LARGEST = 9007199254740991
local GRANTED, OVERLAPPED, LOST = '1', '0', '-1'
local KNOWN = { [GRANTED] = true, [OVERLAPPED] = true, [LOST] = true }

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local late = now > tonumber(ARGV[1])
local latest = now + tonumber(ARGV[2])

-- An error that says nothing about the key (no permission, ...): the whole call fails with it.
local failure

local function refuse(reply)
  if string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE' then failure = reply end
  return false
end

local function integer(text)
  if not text or not string.find(text, '^%d+$') then return nil end
  local number = tonumber(text)
  return number <= LARGEST and number or nil
end

-- understood, fence floor, paused
local function read_state(key)
  local fields = redis.pcall('HMGET', key, 'fence', 'paused')
  if fields.err then return refuse(fields) end
  local floor = integer(fields[1] or '0')
  return floor ~= nil, floor, fields[2] and true or false
end

-- understood, tick, run, fence, granted (tick is nil without a record)
local function read_record(key)
  local fields = redis.pcall('HMGET', key, 'tick', 'run', 'fence', 'granted')
  if fields.err then return refuse(fields) end
  if not (fields[1] or fields[2] or fields[3] or fields[4]) then return true end
  local tick, fence = integer(fields[1]), integer(fields[3])
  return tick and fence and fields[2] and KNOWN[fields[4]] or false, tick, fields[2], fence, fields[4]
end

-- understood, owner, fence (owner is nil while the lock is free)
local function read_lock(key)
  local value = redis.pcall('GET', key)
  if not value then return true end
  if type(value) == 'table' then return refuse(value) end
  local owner, digits = string.match(value, '^([^|]+)|(%d+)$')
  local fence = integer(digits)
  return fence ~= nil, owner, fence
end

local function write_record(job, fence, granted)
  redis.call('HSET', job.record_key, 'tick', job.tick_text, 'run', job.owner,
    'fence', string.format('%.0f', fence), 'granted', granted)
  redis.call('PEXPIRE', job.record_key, job.retain_ms)
end

-- Reads all keys of the job into it; answers the name of the first key that was not understood.
local function read(job)
  local ok
  ok, job.floor, job.paused = read_state(job.state_key)
  if not ok then return 'state' end
  if job.record_key then
    ok, job.recorded, job.run, job.record_fence, job.granted = read_record(job.record_key)
    if not ok then return 'tick' end
    ok, job.server, job.server_fence = read_lock(job.server_key)
    if not ok then return 'server' end
  end
  if job.start_key then
    ok, job.start, job.start_fence = read_lock(job.start_key)
    if not ok then return 'start' end
  end
  if job.overlap_key then
    ok, job.overlap, job.overlap_fence = read_lock(job.overlap_key)
    if not ok then return 'overlap' end
  end
end

-- The claim was granted before and is being repeated, because its answer got lost. It wins again only with
-- every lease that it had: one that has ended in between is never made again, for a run without its lease
-- could meet another one, and a lease made for a sender that has given up would block the job until it
-- expires.
local function repeat_grant(job)
  local me = job.owner
  local intact = (not job.record_key or (job.recorded and job.recorded >= job.tick and job.server == me))
    and (not job.start_key or job.start == me)
    and (not job.overlap_key or job.overlap == me)
  if not intact then
    if job.server == me then redis.call('DEL', job.server_key) end
    if job.overlap == me then redis.call('DEL', job.overlap_key) end
    return 'lost_record', 0, job.newest
  end
  -- The holder counts its trust from this sending, so the leases must last from now on. And only a write
  -- makes the WAIT that follows cover the grant: without one, replicas would acknowledge nothing at all.
  if job.record_key then
    if job.recorded == job.tick then redis.call('PEXPIRE', job.record_key, job.retain_ms) end
    redis.call('PEXPIRE', job.server_key, job.lock_ttl_ms)
  end
  if job.start_key then redis.call('PEXPIRE', job.start_key, job.lock_ttl_ms) end
  if job.overlap_key then redis.call('PEXPIRE', job.overlap_key, job.lock_ttl_ms) end
  return 'won', job.overlap_fence or job.server_fence or job.start_fence, job.newest
end

local function grant(job)
  local fence = math.max(job.floor + 1, (job.record_fence or 0) + 1, now)
  local text = string.format('%.0f', fence)
  local value = job.owner .. '|' .. text
  redis.call('HSET', job.state_key, 'fence', text)
  if job.record_key then
    write_record(job, fence, GRANTED)
    redis.call('SET', job.server_key, value, 'PX', job.lock_ttl_ms)
    job.newest = job.tick
  end
  if job.start_key then redis.call('SET', job.start_key, value, 'PX', job.lock_ttl_ms) end
  if job.overlap_key then redis.call('SET', job.overlap_key, value, 'PX', job.lock_ttl_ms) end
  return 'won', fence, job.newest
end

local function decide(job)
  local corrupt = read(job)
  if corrupt then return 'corrupt', corrupt, 0 end
  local mine = job.recorded == job.tick and job.run == job.owner
  job.newest = job.record_key and math.max(job.recorded or 0, job.remembered) or 0

  if (mine and job.granted == GRANTED) or job.server == job.owner or job.start == job.owner
    or job.overlap == job.owner then
    return repeat_grant(job)
  end
  if mine then return job.granted == LOST and 'lost_record' or 'overlap', 0, job.newest end
  if job.paused then return 'paused', 0, job.newest end
  if job.record_key and (job.recorded or job.remembered > 0) and job.tick <= job.newest then
    return 'elsewhere', 0, job.newest
  end
  if job.timed and job.tick > latest then return 'early', job.tick - now, job.newest end
  if job.record_key and not job.recorded and job.remembered > 0 then
    write_record(job, job.floor, LOST)
    return 'lost_record', 0, job.tick
  end
  if job.start then return 'elsewhere', 0, 0 end
  if job.overlap then
    if not job.record_key then return 'overlap', 0, 0 end
    write_record(job, job.record_fence or job.floor, OVERLAPPED)
    return 'overlap', 0, job.tick
  end
  return grant(job)
end

local at = 0
local function key_if(wanted)
  if not wanted then return nil end
  at = at + 1
  return KEYS[at]
end

-- The same table serves all jobs, so every field of it is set: making one for each would cost 2 us a job.
local function take(job, arg)
  local flags = ARGV[arg]
  local recorded = string.find(flags, 'R', 1, true)
  job.timed = string.find(flags, 'T', 1, true)
  job.owner = ARGV[arg + 1]
  job.tick_text = ARGV[arg + 2]
  job.tick = tonumber(job.tick_text)
  job.lock_ttl_ms = ARGV[arg + 3]
  job.retain_ms = ARGV[arg + 4]
  job.remembered = tonumber(ARGV[arg + 5])
  job.state_key = key_if(true)
  job.record_key = key_if(recorded)
  job.server_key = key_if(recorded)
  job.start_key = key_if(string.find(flags, 'S', 1, true))
  job.overlap_key = key_if(string.find(flags, 'O', 1, true))
  job.recorded, job.run, job.record_fence, job.granted = nil, nil, nil, nil
  job.server, job.server_fence, job.start, job.start_fence = nil, nil, nil, nil
  job.overlap, job.overlap_fence = nil, nil
end

local job = {}
local answer = { now }
for arg = 3, #ARGV, 6 do
  local verdict, value, newest = 'late', 0, 0
  if not late then
    take(job, arg)
    verdict, value, newest = decide(job)
    if failure then return failure end
  end
  local last = #answer
  answer[last + 1], answer[last + 2], answer[last + 3] = verdict, value, newest
end
return answer
