--[[
Accepts one job: all of it or nothing.

A job id that is known is not queued again. Nothing is written when the answer is not 'accepted'.

KEYS[1] job hash           KEYS[2] event's stream     KEYS[3] event's meta
KEYS[4] event's users      KEYS[5] shard's index of events with work
ARGV[1] job id   ARGV[2] event id   ARGV[3] user id   ARGV[4] quantity   ARGV[5] request id or ''
ARGV[6] most jobs the event may have waiting   ARGV[7] most jobs this user may have waiting for it

Returns {'accepted' | 'known', queue number, last decided number, accepted at (us since 1970), pace (us per job),
         1 if it has its answer}
     or {'conflict'}   the id is known for another quantity
     or {'unseeded'}   the queue's numbers are not known here: seed_queue.lua first
     or {'full'} or {'crowded'}   the event's or the user's limit is reached
]]
local meta = redis.call('HMGET', KEYS[3], 'next', 'last_decided', 'pace')
local known = redis.call('HMGET', KEYS[1], 'number', 'quantity', 'accepted', 'status')
if known[1] then
  if known[2] ~= ARGV[4] then
    return {'conflict'}
  end
  return {'known', tonumber(known[1]), tonumber(meta[2] or 0), tonumber(known[3]), tonumber(meta[3] or 0),
    known[4] and 1 or 0}
end
if not meta[1] then
  return {'unseeded'}
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[6]) then
  return {'full'}
end
if tonumber(redis.call('HGET', KEYS[4], ARGV[3]) or 0) >= tonumber(ARGV[7]) then
  return {'crowded'}
end

local number = tonumber(meta[1])
local time = redis.call('TIME')
local accepted = time[1] * 1000000 + time[2]
local accepted_text = string.format('%.0f', accepted)
redis.call('HSET', KEYS[3], 'next', string.format('%.0f', number + 1))
redis.call('HINCRBY', KEYS[4], ARGV[3], 1)
-- The entry's id is the queue number: the stream is the order, and can be read from any number on.
redis.call('XADD', KEYS[2], string.format('%.0f-0', number),
  'job', ARGV[1], 'user', ARGV[3], 'quantity', ARGV[4], 'accepted', accepted_text, 'request', ARGV[5])
redis.call('HSET', KEYS[1], 'event', ARGV[2], 'user', ARGV[3], 'quantity', ARGV[4],
  'number', string.format('%.0f', number), 'accepted', accepted_text)
redis.call('ZADD', KEYS[5], 'NX', accepted_text, ARGV[2])
return {'accepted', number, tonumber(meta[2] or 0), accepted, tonumber(meta[3] or 0), 0}
