-- Decides a chunk of claims, each job atomically, all by one reading of the server's clock.
--
-- KEYS    for each job, in this order, only those that its flags name:
--           state     always    hash: paused, fence (the floor: the newest fence ever granted), tick (the newest
--                               tick ever granted: what is left if the record is lost, or has expired), runs (how
--                               many ticks were granted with max_runs), cancel (the fence of the run that a newer
--                               tick asked to end last)
--           tick      flag R    hash: tick, run, fence, granted ("1" granted, "0" consumed by an overlap,
--                               "-1" consumed because the record of earlier ticks was lost)
--           server    flag R    string "<owner>|<fence>"
--           start     flag S    string "<owner>|<fence>"
--           open      flag A    hash: for each tick that was granted and has not finished "<attempt>|<owner>"
--           run       flag A    string "<owner>|<fence>"
--           overlap   flag O    string "<owner>|<fence>"; as many as the number says that may stand behind the flag
-- ARGV    deadline_us, ahead_us;
--         the channel on which the ticks of flag R, without A, that were decided, and not for a loss, are told (empty:
--         nobody hears): the sender, and each tick with the state keys of its jobs behind it; and the sender;
--         then for each run of jobs of which the same is asked eight, and the owner for each job:
--           number of jobs, flags (T: has a fire time; R: record it, and lease `server`; S: the immediate run; A: run
--           again if interrupted; X: an open tick again; Q: nothing, only that it becomes known; O: no overlap; O3: at
--           most three runs at once; W: a tick that meets a run in progress waits; C: and asks that to end),
--           tick_us, lock_ttl_ms, retain_ms, remembered_us (0: nothing remembered), max_attempts, max_runs (0: any)
-- Answer  now_us; a string with a letter for each job; then for each job with the letter "?" four. The letters:
--           w         won: the fence is now_us; newest_us is the tick, without flag R 0
--           e         elsewhere: newest_us is the tick
--           l         late
--           ?         anything else:
--             verdict
--             value: the fence with "won"; microseconds to wait with "early"; microseconds until the lease that
--             stands in the way ends with "elsewhere" and "overlap" of flag A; the key with "corrupt"; else 0
--             newest_us: the newest decided tick of the job (0: none, or not recorded)
--             of flag A "<attempt> <tick> <tick> ...": the tick's grants so far, and the open ticks; else, with "won",
--             which of the overlap keys it has, from 0 on; else 0
--
-- `reading.lua` stands in front of it. Nothing of a job is written before all that it needs has been read and understood.

local function write_record(job, fence, granted)
  call('HSET', job.record_key, 'tick', job.tick_text, 'run', job.owner, 'fence', fence, 'granted', granted)
  call('PEXPIRE', job.record_key, job.retain_ms)
end

-- Microseconds until a lease ends by itself.
local function time_left(key) return math.max(call('PTTL', key), 0) * 1000 end

-- Notes that the tick was granted once more and has not finished. What crashes leave behind stays bounded.
local function write_open(job)
  local entry = job.open[job.tick_text]
  job.open[job.tick_text] = { attempt = entry and entry.attempt + 1 or 1, owner = job.owner }
  call('HSET', job.open_key, job.tick_text, format('%.0f|%s', job.open[job.tick_text].attempt, job.owner))
  call('PEXPIRE', job.open_key, job.retain_ms)
  local count, oldest = 0, job.tick_text
  for tick in pairs(job.open) do
    count = count + 1
    if tonumber(tick) < tonumber(oldest) then oldest = tick end
  end
  if count > MOST_OPEN then
    call('HDEL', job.open_key, oldest)
    job.open[oldest] = nil
  end
end

-- The claim was granted before and is being repeated, because its answer got lost. It wins again only with every lease
-- that it had: one that has ended in between is never made again, for a run without its lease could meet another one, and
-- a lease made for a sender that has given up would block the job until it expires.
local function repeat_grant(job)
  local me = job.owner
  local intact = (not job.record_key or (job.recorded and job.recorded >= job.tick and job.server == me))
    and (not job.start_key or job.start == me)
    and (not job.run_key or job.running == me)
    and (not job.overlap_key or job.overlap == me)
  if not intact then
    if job.server == me then call('DEL', job.server_key) end
    if job.running == me then call('DEL', job.run_key) end
    if job.overlap == me then call('DEL', job.overlap_key) end
    return 'lost_record', 0, job.newest
  end
  -- The holder counts its trust from this sending, so the leases must last from now on. And only a write
  -- makes the WAIT that follows cover the grant: without one, replicas would acknowledge nothing at all.
  if job.record_key then
    if job.recorded == job.tick then call('PEXPIRE', job.record_key, job.retain_ms) end
    call('PEXPIRE', job.server_key, job.lock_ttl_ms)
  end
  if job.start_key then call('PEXPIRE', job.start_key, job.lock_ttl_ms) end
  if job.run_key then call('PEXPIRE', job.run_key, job.lock_ttl_ms) end
  if job.overlap_key then call('PEXPIRE', job.overlap_key, job.lock_ttl_ms) end
  return 'won', job.overlap_fence or job.run_fence or job.server_fence or job.start_fence, job.newest
end

local function grant(job)
  local fence = math.max(job.floor + 1, (job.record_fence or 0) + 1, now)
  if fence > LARGEST then return 'corrupt', job.floor < LARGEST and 'tick' or 'state', 0 end
  local entry = job.open and job.open[job.tick_text]
  if entry and entry.attempt >= LARGEST then return 'corrupt', 'open', 0 end
  local text = fence == now and now_text or format('%.0f', fence)
  local value = job.owner .. '|' .. text
  if not job.record_key then
    call('HSET', job.state_key, 'fence', text)
  else
    call('HSET', job.state_key, 'fence', text, 'tick', job.tick_text)
    write_record(job, text, GRANTED)
    call('SET', job.server_key, value, 'PX', job.lock_ttl_ms)
    job.newest = job.tick
  end
  if job.start_key then call('SET', job.start_key, value, 'PX', job.lock_ttl_ms) end
  if job.limited then call('HSET', job.state_key, 'runs', format('%.0f', job.runs + 1)) end
  if job.run_key then
    write_open(job)
    call('SET', job.run_key, value, 'PX', job.lock_ttl_ms)
  end
  if job.overlap_key then call('SET', job.overlap_key, value, 'PX', job.lock_ttl_ms) end
  return 'won', fence, job.newest
end

-- An open tick again: not before the lease of its last run has ended, and not more often than was asked for.
local function decide_rerun(job)
  local entry = job.open[job.tick_text]
  if not entry then return 'elsewhere', 0, 0 end
  if job.running then return 'elsewhere', time_left(job.run_key), 0 end
  if entry.attempt >= job.max_attempts then
    call('HDEL', job.open_key, job.tick_text)
    job.open[job.tick_text], job.used_up = nil, entry.attempt
    return 'exhausted', 0, 0
  end
  if job.overlap then return 'overlap', time_left(job.overlap_key), 0 end
  return grant(job)
end

-- What most claims come to: another run has this very tick. Then nothing else needs to be read, unless the claim may be
-- a repeated one whose grant holds more than the tick.
local function is_taken(job, fields)
  if fields[1] ~= job.tick_text or fields[2] == job.owner then return false end
  if not (fields[2] and integer(fields[3]) and KNOWN[fields[4]]) then return false end
  if not job.overlap_key then return true end
  local held = try('GET', job.overlap_key)
  return not held or (type(held) == 'string' and match(held, '^([^|]+)|') ~= job.owner)
end

-- Whether nobody can tell if a tick that is newer than all that are known has run: the record of earlier ones is lost, or
-- this one had come due when that was noticed, or when the job became known.
local function is_in_doubt(job)
  if not job.recorded then return job.granted_tick == 0 and job.remembered > 0 end
  return job.granted == LOST and job.tick <= job.granted_tick
end

-- Uses such a tick up, and notes that so it is with all that have come due: newer ones may have been granted before the
-- loss, and a node that was frozen asks for its old one first.
local function consume_lost(job)
  if job.granted_tick == 0 then
    job.granted_tick = math.max(job.tick, now)
    call('HSET', job.state_key, 'tick', format('%.0f', job.granted_tick))
  end
  write_record(job, format('%.0f', job.floor), LOST)
  return 'lost_record', 0, job.tick
end

-- Whether the newest decided tick was used up like that, and this is an older one that nothing else is known of: then
-- nobody can tell of this one either.
local function is_in_doubt_too(job)
  return job.granted == LOST and job.tick < job.recorded and job.tick > job.remembered
    and not (job.open and job.open[job.tick_text])
end

-- `fields`: the record, if it was read before.
local function decide(job, fields)
  fields = fields or (job.record_key and try('HMGET', job.record_key, 'tick', 'run', 'fence', 'granted'))
  if job.plain and is_taken(job, fields) then return 'elsewhere', 0, job.tick end
  local corrupt = read(job, fields)
  if corrupt then return 'corrupt', corrupt, 0 end
  local mine = job.recorded == job.tick and job.run == job.owner
  local decided = job.granted == LOST and 0 or job.granted_tick -- after a loss, what is only in doubt
  job.newest = job.record_key and math.max(job.recorded or 0, job.remembered, decided) or 0

  if job.asking then
    if job.record_key and not job.recorded and job.granted_tick == 0 then consume_lost(job) end -- from now on it is known
    return 'elsewhere', 0, job.newest
  end
  if (mine and job.granted == GRANTED) or job.server == job.owner or job.start == job.owner
    or job.running == job.owner or job.overlap == job.owner then
    return repeat_grant(job)
  end
  if mine then return job.granted == LOST and 'lost_record' or 'overlap', 0, job.newest end
  if job.record_key and job.newest > 0 and job.tick <= job.newest then
    if is_in_doubt_too(job) then return 'lost_record', 0, job.newest end
    return 'elsewhere', job.running and time_left(job.run_key) or 0, job.newest
  end
  if job.paused then return 'paused', 0, job.newest end
  if job.again then return decide_rerun(job) end
  if job.limited and job.runs >= job.max_runs then return 'finished', 0, job.newest end
  if job.timed and job.tick > latest then return 'early', job.tick - now, job.newest end
  if job.record_key and is_in_doubt(job) then return consume_lost(job) end
  if job.start then return 'elsewhere', 0, 0 end
  if job.overlap then
    if job.cancelling then call('HSET', job.state_key, 'cancel', format('%.0f', job.overlap_fence)) end
    if job.waiting or not job.record_key then return 'overlap', 0, job.newest end
    write_record(job, format('%.0f', job.record_fence or job.floor), OVERLAPPED)
    return 'overlap', 0, job.tick
  end
  return grant(job)
end

-- Answers how often the tick was granted, and which ticks are open.
local function describe(job, verdict)
  if not job.open then return verdict == 'won' and job.slot or 0 end
  local entry = job.open[job.tick_text]
  local words = { format('%.0f', entry and entry.attempt or job.used_up or 0) }
  for tick in pairs(job.open) do words[#words + 1] = tick end
  return table.concat(words, ' ')
end

local at = 0
local function next_key()
  at = at + 1
  return KEYS[at]
end

-- The same table serves all jobs: making one for each would cost 2 us a job.
local job = {}

-- Reads, all at once, what stands in `server` of those that are still to be decided of a run of jobs.
local function read_servers(nth, count)
  local keys, servers = {}, {}
  for which = nth, count do keys[#keys + 1] = KEYS[at + 3 * (which - nth + 1)] end
  local found = try('MGET', unpack(keys))
  if found.err then refuse(found) end
  for which = nth, count do servers[which] = found[which - nth + 1] end
  return servers
end

-- Answers, with five commands and one that all of a run share, what the common claim comes to: a tick of an
-- `on_one_server` job alone, whose records are in order. Whatever is not exactly so is left to `decide`: nil, and the
-- record.
--
-- Record and state of one grant, with nothing after it, say that `server` is free or that run's: what stands there is
-- looked at only to tell a foreign value, and one of another type by the SET itself, which leaves it alone then.
local function decide_common(owner, nth, count)
  local state_key, record_key, server_key = KEYS[at + 1], KEYS[at + 2], KEYS[at + 3]
  local record = try('HMGET', record_key, 'tick', 'run', 'fence', 'granted')
  local tick_text, run, fence_text, granted = record[1], record[2], record[3], record[4]
  local fence = integer(fence_text)
  if not (run and fence and KNOWN[granted]) or run == owner then return nil, record end
  if tick_text == job.tick_text then return 'e' end
  local recorded = integer(tick_text)
  if granted ~= GRANTED or not recorded or recorded >= job.tick or fence >= now then return nil, record end
  local state = try('HMGET', state_key, 'fence', 'paused', 'tick')
  if state[1] ~= fence_text or state[2] or state[3] ~= tick_text then return nil, record end

  job.servers = job.servers or read_servers(nth, count)
  local server, value = job.servers[nth], owner .. '|' .. now_text
  if failure or (server and server ~= run .. '|' .. fence_text) then return nil, record end
  local before = try('SET', server_key, value, 'PX', job.lock_ttl_ms, 'GET')
  if type(before) == 'table' then return refuse(before) or nil, record end
  call('HSET', state_key, 'fence', now_text, 'tick', job.tick_text)
  call('HSET', record_key, 'tick', job.tick_text, 'run', owner, 'fence', now_text)
  if math.floor(fence / job.period) ~= job.period_now then call('PEXPIRE', record_key, job.retain_ms) end
  return 'w'
end

-- What the jobs of one run of them have in common. What is not read for them is forgotten here.
local function take_terms(arg)
  local flags = ARGV[arg]
  job.timed, job.recorded_too = find(flags, 'T', 1, true), find(flags, 'R', 1, true)
  job.starting, job.repeatable = find(flags, 'S', 1, true), find(flags, 'A', 1, true)
  job.again, job.asking = find(flags, 'X', 1, true), find(flags, 'Q', 1, true)
  job.alone = find(flags, 'O', 1, true)
  job.slots, job.slot = tonumber(match(flags, 'O(%d+)') or 1), 0
  job.waiting, job.cancelling = find(flags, 'W', 1, true), find(flags, 'C', 1, true)
  job.tick_text, job.tick = ARGV[arg + 1], tonumber(ARGV[arg + 1])
  job.lock_ttl_ms, job.retain_ms, job.remembered = ARGV[arg + 2], ARGV[arg + 3], tonumber(ARGV[arg + 4])
  job.max_attempts, job.max_runs = tonumber(ARGV[arg + 5]), tonumber(ARGV[arg + 6])
  job.limited = job.timed and job.max_runs > 0
  job.common = flags == 'TR' and job.max_runs == 0 and job.remembered < job.tick and job.tick <= latest
  job.period = tonumber(job.retain_ms) * 1000 / PERIODS
  job.period_now, job.servers = math.floor(now / job.period), nil
  job.plain = job.timed and job.recorded_too and not job.repeatable and job.slots == 1 and job.remembered <= job.tick
  job.record_key, job.server_key, job.start_key, job.open_key, job.run_key, job.overlap_key = nil
  job.recorded, job.run, job.record_fence, job.granted, job.server, job.server_fence = nil
  job.start, job.start_fence, job.overlap, job.overlap_fence, job.running, job.run_fence = nil
end

local function take(owner)
  job.owner = owner
  job.state_key = next_key()
  if job.recorded_too then job.record_key, job.server_key = next_key(), next_key() end
  if job.starting then job.start_key = next_key() end
  if job.repeatable then job.open_key, job.run_key = next_key(), next_key() end
  if job.alone then
    job.overlap_key = next_key()
    job.slots_at, at = at, at + job.slots - 1
  end
  job.open, job.used_up = nil, nil
end

local channel, decided, decided_tick = ARGV[3], { ARGV[4] }, nil
local function tell(state_key)
  if channel == '' then return end
  if decided_tick ~= job.tick_text then
    decided_tick = job.tick_text
    decided[#decided + 1] = decided_tick
  end
  decided[#decided + 1] = state_key
end

-- Puts a decision into the answer, and answers its letter.
local function put(answer, verdict, value, newest)
  local is_news = verdict ~= 'elsewhere' and verdict ~= 'lost_record' -- of an older tick, that decides nothing
  if job.record_key and not job.open_key and newest == job.tick and is_news then tell(job.state_key) end
  local extra = describe(job, verdict)
  if extra == 0 then
    if verdict == 'won' and value == now and newest == (job.record_key and job.tick or 0) then return 'w' end
    if verdict == 'elsewhere' and value == 0 and newest == job.tick then return 'e' end
  end
  local last = #answer
  answer[last + 1], answer[last + 2], answer[last + 3], answer[last + 4] = verdict, value, newest, extra
  return '?'
end

local letters, answer = {}, { now, '' }
local arg, last = 5, #ARGV
while arg <= last do
  local count = tonumber(ARGV[arg])
  if not late then take_terms(arg + 1) end
  arg = arg + 7
  for nth = 1, count do
    local letter = 'l'
    if not late then
      local owner = ARGV[arg + nth]
      local record
      letter = nil
      if job.common then letter, record = decide_common(owner, nth, count) end
      if letter then
        if letter == 'w' then tell(KEYS[at + 1]) end
        at = at + 3
      elseif not failure then
        take(owner)
        letter = put(answer, decide(job, record))
      end
      if failure then return failure end
    end
    letters[#letters + 1] = letter
  end
  arg = arg + count + 1
end
answer[2] = table.concat(letters)
-- Nothing rests on it, and the user may lack the right to it.
if decided_tick then redis.pcall('PUBLISH', channel, table.concat(decided, ' ')) end
return answer
