-- Frees locks that are still their owner's. The owner is unique per claim, so its name suffices: the fence is
-- not known where the grant's answer never arrived. The tick record is never touched: a tick stays decided.
--
-- KEYS    for each lease its lock keys (server, overlap, start), as many as its ARGV says
-- ARGV    for each lease two: owner, number of its keys
-- Answer  for each lease: how many of its locks were freed

local at = 0
local answer = {}
for arg = 1, #ARGV, 2 do
  local head = ARGV[arg] .. '|'
  local freed = 0
  for _ = 1, tonumber(ARGV[arg + 1]) do
    at = at + 1
    local value = redis.pcall('GET', KEYS[at])
    if type(value) == 'string' and string.sub(value, 1, #head) == head then
      redis.call('DEL', KEYS[at])
      freed = freed + 1
    end
  end
  answer[#answer + 1] = freed
end
return answer
