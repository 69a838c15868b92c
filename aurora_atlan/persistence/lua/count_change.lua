--[[
Makes void what was shared before now, and what is being read now.

KEYS[1] count of changes   ARGV[1] how long it is remembered (s): longer than anything is shared
]]
redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], ARGV[1])
