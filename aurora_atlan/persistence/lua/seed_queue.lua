--[[
Gives an event's queue its first number, above every number used before. Changes nothing when it has one.

KEYS[1] event's meta   KEYS[2] event's stream
ARGV[1] highest queue number that PostgreSQL or this process has seen   ARGV[2] last decided number

Returns the next queue number.

Where nothing was accepted before, meta's "whole_since" (us since 1970) says so: until a finished job expires, or
something else is lost, Redis knows every job that the event ever had.
]]
local next_number = redis.call('HGET', KEYS[1], 'next')
if next_number then
  return tonumber(next_number)
end
local highest = tonumber(ARGV[1])
local last_decided = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 1 then
  -- Only meta was lost: the stream refuses ids at or below its last one.
  local stream = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then
      highest = math.max(highest, tonumber(string.match(stream[i + 1], '^%d+')))
    end
  end
end
if redis.call('XLEN', KEYS[2]) == 0 then
  last_decided = highest
end
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', highest + 1),
  'last_decided', string.format('%.0f', last_decided))
if highest == 0 then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'whole_since', string.format('%.0f', time[1] * 1000000 + time[2]))
end
return highest + 1
