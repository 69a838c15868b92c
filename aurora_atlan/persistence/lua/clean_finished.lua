--[[
Removes finished jobs' hashes, the oldest first, and takes them out of their index. The ledger answers for them then.

KEYS[1] shard's index of finished records of one status
ARGV[1] decided from (us)   ARGV[2] decided until (us)   ARGV[3] at most so many
ARGV[4] what the keys of the shard begin with, '{aa:NN}:'; the events' metas lie in the same slot

Returns how many hashes were removed.
]]
local jobs = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local removed = 0
for _, job in ipairs(jobs) do
  local hash = ARGV[4] .. 'job:' .. job
  -- One without is waiting: its Idempotency-Key was used again after its record had expired.
  local known = redis.call('HMGET', hash, 'status', 'event')
  if known[1] then
    redis.call('HDEL', ARGV[4] .. 'event:' .. known[2] .. ':meta', 'whole_since')
    removed = removed + redis.call('DEL', hash)
  end
end
if #jobs > 0 then
  redis.call('ZREM', KEYS[1], unpack(jobs))
end
return removed
