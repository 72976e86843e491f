-- Extends leases that are still their owner's. Never creates a key: a lease that has ended stays ended.
--
-- KEYS    for each lease, in this order, only those that its flags name:
--           overlap   flag O    string "<owner>|<fence>"
--           run       flag A    string "<owner>|<fence>"
--           server    flag R    string "<owner>|<fence>"
--           tick      flag R    hash: fence (of the newest grant)
--           state     flag C    hash: cancel (the fence of the run that a newer tick asked to end last)
-- ARGV    for each run of leases that have this in common three, and "<owner>|<fence>" for each lease:
--           number of leases, flags (N: with O, other runs of the job may go on beside it), lock_ttl_ms
-- Answer  a string with a letter for each lease: h (held), u (held, and its run is asked to end), s (superseded)
--         or l (lost)
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

local function overtaken(key, value)
  local newest = text(redis.pcall('HGET', key, 'fence'))
  local fence = tonumber(string.match(value, '|(%d+)$'))
  return newest ~= nil and string.find(newest, '^%d+$') ~= nil and tonumber(newest) > fence
end

local at = 0
local function key_if(wanted)
  if not wanted then return nil end
  at = at + 1
  return KEYS[at]
end

local function renew(value, flags, lock_ttl_ms)
  local overlap_key = key_if(string.find(flags, 'O', 1, true))
  local run_key = key_if(string.find(flags, 'A', 1, true))
  local server_key = key_if(string.find(flags, 'R', 1, true))
  local tick_key = key_if(server_key)
  local state_key = key_if(string.find(flags, 'C', 1, true))
  if overlap_key and text(redis.pcall('GET', overlap_key)) ~= value then return 'l' end
  if run_key and text(redis.pcall('GET', run_key)) ~= value then return 'l' end
  if server_key and text(redis.pcall('GET', server_key)) ~= value then
    -- `server` excludes nobody: a newer tick has taken the key over, and this run may go on beside it.
    if (overlap_key and not string.find(flags, 'N', 1, true)) or not overtaken(tick_key, value) then return 'l' end
    if not run_key and not overlap_key then return 's' end
    server_key = nil
  end
  local unwanted = state_key and text(redis.pcall('HGET', state_key, 'cancel'))
  if failure then return '' end
  if overlap_key then redis.call('PEXPIRE', overlap_key, lock_ttl_ms) end
  if run_key then redis.call('PEXPIRE', run_key, lock_ttl_ms) end
  if server_key then redis.call('PEXPIRE', server_key, lock_ttl_ms) end
  return unwanted and unwanted == string.match(value, '|(%d+)$') and 'u' or 'h'
end

local letters = {}
local arg, last = 1, #ARGV
while arg <= last do
  local count, flags, lock_ttl_ms = tonumber(ARGV[arg]), ARGV[arg + 1], ARGV[arg + 2]
  arg = arg + 3
  for nth = arg, arg + count - 1 do
    letters[#letters + 1] = renew(ARGV[nth], flags, lock_ttl_ms)
    if failure then return failure end
  end
  arg = arg + count
end
return table.concat(letters)
