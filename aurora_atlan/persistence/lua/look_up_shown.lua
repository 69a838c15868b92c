--[[
Reads what a process has shared of the events, unless one of them was changed since.

KEYS[1] what is shared   KEYS[2] count of changes
Returns {count of changes, time (ms since 1970), how long it may still be told (ms), what is shared or nil}.
]]
local changes = redis.call('GET', KEYS[2]) or '0'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local shared = redis.call('HMGET', KEYS[1], 'changes', 'events')
if shared[1] ~= changes then
  return {changes, now, 0}
end
return {changes, now, redis.call('PTTL', KEYS[1]), shared[2]}
