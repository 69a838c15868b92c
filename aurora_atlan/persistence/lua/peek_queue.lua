--[[
Looks at an event's undecided jobs, in their order, and at how far their decision is.

KEYS[1] event's stream   KEYS[2] event's meta
ARGV[1] read what comes after this queue number   ARGV[2] at most so many

Returns {handed in up to this number or nil, last decided number or nil, entries as XRANGE gives them}
]]
local meta = redis.call('HMGET', KEYS[2], 'handed_in', 'last_decided')
return {meta[1], meta[2], redis.call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])}
