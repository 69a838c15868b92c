--[[
Removes finished jobs' hashes, the oldest first, and takes them out of their index. The ledger answers for them then.

KEYS[1] shard's index of finished records of one status
ARGV[1] decided from (us)   ARGV[2] decided until (us)   ARGV[3] at most so many
ARGV[4] what the keys of the shard's job hashes begin with, '{aa:NN}:job:'

Returns how many hashes were removed.
]]
local jobs = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local removed = 0
for _, job in ipairs(jobs) do
  local hash = ARGV[4] .. job
  -- One without is waiting: its Idempotency-Key was used again after its record had expired.
  if redis.call('HEXISTS', hash, 'status') == 1 then
    removed = removed + redis.call('DEL', hash)
  end
end
if #jobs > 0 then
  redis.call('ZREM', KEYS[1], unpack(jobs))
end
return removed
