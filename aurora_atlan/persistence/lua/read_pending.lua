--[[
Reads an event's undecided jobs in their order.

KEYS[1] event's stream   KEYS[2] event's meta
ARGV[1] read what comes after this queue number   ARGV[2] at most so many
ARGV[3] highest queue number this process has seen: the next one given will be above it

Returns {next queue number or 0 when unseeded, entries as XRANGE gives them}
]]
local next_number = tonumber(redis.call('HGET', KEYS[2], 'next') or 0)
if next_number > 0 and next_number <= tonumber(ARGV[3]) then
  next_number = tonumber(ARGV[3]) + 1
  redis.call('HSET', KEYS[2], 'next', string.format('%.0f', next_number))
  -- Redis went back, and what it lost with that number may be any job.
  redis.call('HDEL', KEYS[2], 'whole_since')
end
return {next_number, redis.call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])}
