-- Frees locks that are still their owner's. The owner is unique per claim, so its name suffices: the fence is
-- not known where the grant's answer never arrived. The tick record is never touched: a tick stays decided.
--
-- KEYS    for each lease its lock keys (server, overlap, start, run), as many as its ARGV says; then, if it has
--         finished a tick: open (hash: for each tick that has not finished "<attempt>|<owner>")
-- ARGV    for each run of leases that have this in common three, and the owner for each lease:
--           number of leases, number of lock keys of each, the tick that they have finished or "" for none
-- Answer  a string with a digit for each lease: how many of its locks were freed
--
-- Only MGET, HGET, DEL and HDEL: they work while the server is out of memory.

local AT_ONCE = 1000 -- keys in one command: Lua passes a few thousand values at most

-- What stands in the locks: false where nothing does, or nothing of ours.
local values = {}
for first = 1, #KEYS, AT_ONCE do
  local found = redis.pcall('MGET', unpack(KEYS, first, math.min(first + AT_ONCE - 1, #KEYS)))
  if found.err then return found end -- no permission, ...: it must not look like locks that are gone
  for nth = 1, #found do values[KEYS[first + nth - 1]] = found[nth] end
end

local freed, finished = {}, {}
local digits, at, arg, last = {}, 0, 1, #ARGV
while arg <= last do
  local count, locks, tick = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), ARGV[arg + 2]
  arg = arg + 3
  for nth = arg, arg + count - 1 do
    local head, before = ARGV[nth] .. '|', #freed
    for lock = at + 1, at + locks do
      local key = KEYS[lock]
      local value = values[key]
      if value and string.sub(value, 1, #head) == head then
        freed[#freed + 1], values[key] = key, false
      end
    end
    at = at + locks
    if tick ~= '' then
      at = at + 1
      finished[#finished + 1] = { KEYS[at], tick, ARGV[nth] }
    end
    digits[#digits + 1] = #freed - before
  end
  arg = arg + count
end

for first = 1, #freed, AT_ONCE do
  redis.call('DEL', unpack(freed, first, math.min(first + AT_ONCE - 1, #freed)))
end
for _, of in ipairs(finished) do
  local key, tick, owner = of[1], of[2], of[3]
  local entry = redis.pcall('HGET', key, tick)
  if type(entry) == 'table' and string.sub(tostring(entry.err), 1, 9) ~= 'WRONGTYPE' then return entry end
  if type(entry) == 'string' and string.match(entry, '^%d+|(.+)$') == owner then redis.call('HDEL', key, tick) end
end
return table.concat(digits)
