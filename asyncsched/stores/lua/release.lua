-- Frees locks that are still their owner's. The owner is unique per claim, so its name suffices: the fence is
-- not known where the grant's answer never arrived. The tick record is never touched: a tick stays decided.
--
-- KEYS    for each lease its lock keys (server, overlap, start, run), as many as its ARGV says; then, if it has
--         finished a tick: open (hash: for each tick that has not finished "<attempt>|<owner>")
-- ARGV    for each run of leases that have this in common three, and the owner for each lease:
--           number of leases, number of lock keys of each, the tick that they have finished or "" for none
-- Answer  a string with a digit for each lease: how many of its locks were freed
--
-- Only GET, HGET, DEL and HDEL: they work while the server is out of memory.

-- An error that says nothing about the key (no permission, ...) must not look like a lock that is gone.
local function is_failure(reply)
  return type(reply) == 'table' and string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE'
end

local at = 0
local function next_key()
  at = at + 1
  return KEYS[at]
end

-- Frees a lock if it is the owner's; answers whether it was, or a failure.
local function free(key, head)
  local value = redis.pcall('GET', key)
  if is_failure(value) then return value end
  if type(value) ~= 'string' or string.sub(value, 1, #head) ~= head then return false end
  redis.call('DEL', key)
  return true
end

local function finish(key, tick, owner)
  local entry = redis.pcall('HGET', key, tick)
  if is_failure(entry) then return entry end
  if type(entry) == 'string' and string.match(entry, '^%d+|(.+)$') == owner then redis.call('HDEL', key, tick) end
end

local digits = {}
local arg, last = 1, #ARGV
while arg <= last do
  local count, locks, finished = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), ARGV[arg + 2]
  arg = arg + 3
  for nth = arg, arg + count - 1 do
    local owner = ARGV[nth]
    local head = owner .. '|'
    local freed = 0
    for _ = 1, locks do
      local was_held = free(next_key(), head)
      if type(was_held) == 'table' then return was_held end
      if was_held then freed = freed + 1 end
    end
    if finished ~= '' then
      local failure = finish(next_key(), finished, owner)
      if failure then return failure end
    end
    digits[#digits + 1] = freed
  end
  arg = arg + count
end
return table.concat(digits)
