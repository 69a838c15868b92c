--[[
Reads a job together with what its event's queue says of it.

KEYS[1] job hash
ARGV[1] the shard's key prefix, '{aa:NN}:'; the event's meta lies in the same slot

Returns {} when the job is not known here, otherwise
{event, user, quantity, number, accepted, status, reason, booking, decided, attempts, last_decided, handed_in, pace,
jitter}, each a string or nil.
]]
local job = redis.call('HMGET', KEYS[1], 'event', 'user', 'quantity', 'number', 'accepted',
  'status', 'reason', 'booking', 'decided', 'attempts')
if not job[1] then
  return {}
end
local meta = redis.call('HMGET', ARGV[1] .. 'event:' .. job[1] .. ':meta',
  'last_decided', 'handed_in', 'pace', 'jitter')
for i = 1, 4 do
  job[10 + i] = meta[i]
end
return job
