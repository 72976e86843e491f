-- Extends leases that are still their owner's. Never creates a key: a lease that has ended stays ended.
--
-- KEYS    for each lease, in this order, only those that its flags name:
--           overlap   flag O    string "<owner>|<fence>"
--           run       flag A    string "<owner>|<fence>"
--           server    flag R    string "<owner>|<fence>"
--           tick      flag R    hash: fence (of the newest grant)
-- ARGV    for each lease four: flags, "<owner>|<fence>", fence, lock_ttl_ms
-- Answer  for each lease: "held", "superseded" or "lost"
--
-- Only GET, HGET and PEXPIRE: they work while the server is out of memory, so running jobs keep their leases
-- then.

-- An error that says nothing about the key (no permission, ...): the whole call fails with it, for it must not
-- look like a lease that is lost.
local failure

local function text(reply)
  if type(reply) == 'string' then return reply end
  if type(reply) == 'table' and string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE' then failure = reply end
  return nil
end

local function overtaken(key, fence)
  local newest = text(redis.pcall('HGET', key, 'fence'))
  return newest ~= nil and string.find(newest, '^%d+$') ~= nil and tonumber(newest) > tonumber(fence)
end

local function check(lease)
  if lease.overlap_key and text(redis.pcall('GET', lease.overlap_key)) ~= lease.value then return 'lost' end
  if lease.run_key and text(redis.pcall('GET', lease.run_key)) ~= lease.value then return 'lost' end
  if lease.server_key and text(redis.pcall('GET', lease.server_key)) ~= lease.value then
    -- `server` alone excludes nobody: a newer tick has taken the key over, and this run may go on beside it.
    if lease.overlap_key or not overtaken(lease.tick_key, lease.fence) then return 'lost' end
    if not lease.run_key then return 'superseded' end
    lease.server_key = nil
  end
  return 'held'
end

local at = 0
local function key_if(wanted)
  if not wanted then return nil end
  at = at + 1
  return KEYS[at]
end

local answer = {}
for arg = 1, #ARGV, 4 do
  local flags = ARGV[arg]
  local serving = string.find(flags, 'R', 1, true)
  local lease = {
    value = ARGV[arg + 1],
    fence = ARGV[arg + 2],
    overlap_key = key_if(string.find(flags, 'O', 1, true)),
    run_key = key_if(string.find(flags, 'A', 1, true)),
    server_key = key_if(serving),
    tick_key = key_if(serving),
  }
  local renewal = check(lease)
  if failure then return failure end
  if renewal == 'held' then
    if lease.overlap_key then redis.call('PEXPIRE', lease.overlap_key, ARGV[arg + 3]) end
    if lease.run_key then redis.call('PEXPIRE', lease.run_key, ARGV[arg + 3]) end
    if lease.server_key then redis.call('PEXPIRE', lease.server_key, ARGV[arg + 3]) end
  end
  answer[#answer + 1] = renewal
end
return answer
