-- Frees locks that are still their owner's. The owner is unique per claim, so its name suffices: the fence is
-- not known where the grant's answer never arrived. The tick record is never touched: a tick stays decided.
--
-- KEYS    for each lease its lock keys (server, overlap, start, run), as many as its ARGV says; then, if it has
--         finished a tick: open (hash: for each tick that has not finished "<attempt>|<owner>")
-- ARGV    for each lease three: owner, number of its lock keys, the finished tick or "" for none
-- Answer  for each lease: how many of its locks were freed
--
-- Only GET, HGET, DEL and HDEL: they work while the server is out of memory.

-- An error that says nothing about the key (no permission, ...) must not look like a lock that is gone.
local function is_failure(reply)
  return type(reply) == 'table' and string.sub(tostring(reply.err), 1, 9) ~= 'WRONGTYPE'
end

local at = 0
local answer = {}
for arg = 1, #ARGV, 3 do
  local owner, finished = ARGV[arg], ARGV[arg + 2]
  local head = owner .. '|'
  local freed = 0
  for _ = 1, tonumber(ARGV[arg + 1]) do
    at = at + 1
    local value = redis.pcall('GET', KEYS[at])
    if is_failure(value) then return value end
    if type(value) == 'string' and string.sub(value, 1, #head) == head then
      redis.call('DEL', KEYS[at])
      freed = freed + 1
    end
  end
  if finished ~= '' then
    at = at + 1
    local entry = redis.pcall('HGET', KEYS[at], finished)
    if is_failure(entry) then return entry end
    if type(entry) == 'string' and string.match(entry, '^%d+|(.+)$') == owner then
      redis.call('HDEL', KEYS[at], finished)
    end
  end
  answer[#answer + 1] = freed
end
return answer
