--[[
Shares what PostgreSQL told, unless it was changed since the count of changes was read.

KEYS[1] what is shared   KEYS[2] count of changes
ARGV[1] count of changes before PostgreSQL was asked   ARGV[2] until when it may be told (ms since 1970)
ARGV[3] what is shared
]]
if (redis.call('GET', KEYS[2]) or '0') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'changes', ARGV[1], 'events', ARGV[3])
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
end
