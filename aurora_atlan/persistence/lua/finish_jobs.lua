--[[
Takes decided jobs of one event out of the queue and notes their outcome. Repeating it changes nothing.

KEYS[1] event's stream   KEYS[2] event's meta   KEYS[3] event's users   KEYS[4] shard's index of events with work
KEYS[5..] the jobs' hashes
ARGV[1] event id   ARGV[2] last decided queue number, 0 to leave it   ARGV[3] seconds that finished hashes live
ARGV[4] pace (us per job), 0 when not measured   ARGV[5] channel told of the change
ARGV[6..] for each job: queue number, user id, job id, status, reason or '', booking id or '', decided at (us), attempts

Returns how many jobs left the queue.
]]
-- A queue that went back gives its numbers again: an entry is removed only when it is this very job's.
local function is_queued(hash, number, job)
  local known = redis.call('HGET', hash, 'number')
  if known then
    return known == number
  end
  local entry = redis.call('XRANGE', KEYS[1], number .. '-0', number .. '-0')
  return entry[1] and entry[1][2][2] == job
end

local removed = 0
local arg = 6
for i = 5, #KEYS do
  local number, user, job = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2]
  if is_queued(KEYS[i], number, job) and redis.call('XDEL', KEYS[1], number .. '-0') == 1 then
    removed = removed + 1
    if redis.call('HINCRBY', KEYS[3], user, -1) <= 0 then
      redis.call('HDEL', KEYS[3], user)
    end
  end
  -- A hash that is gone stays gone: the ledger answers for it.
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('HSET', KEYS[i], 'status', ARGV[arg + 3], 'reason', ARGV[arg + 4], 'booking', ARGV[arg + 5],
      'decided', ARGV[arg + 6], 'attempts', ARGV[arg + 7])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
  end
  arg = arg + 8
end

local last_decided = tonumber(ARGV[2])
local meta = redis.call('HMGET', KEYS[2], 'next', 'last_decided', 'pace')
-- A queue that has forgotten its numbers is given new ones by seed_queue, above every number that was ever given,
-- of which this batch need not have the highest.
if last_decided > 0 and meta[1] then
  if tonumber(meta[1]) <= last_decided then
    redis.call('HSET', KEYS[2], 'next', string.format('%.0f', last_decided + 1))
  end
  if tonumber(meta[2] or 0) < last_decided then
    redis.call('HSET', KEYS[2], 'last_decided', ARGV[2])
  end
  local pace = tonumber(ARGV[4])
  if pace > 0 then
    -- An exponentially weighted mean: a fifth of the newest batch.
    local before = tonumber(meta[3] or 0)
    if before > 0 then
      pace = before * 0.8 + pace * 0.2
    end
    redis.call('HSET', KEYS[2], 'pace', string.format('%.0f', math.max(1, pace)))
  end
end

local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if oldest[1] then
  redis.call('ZADD', KEYS[4], oldest[1][2][8], ARGV[1])
else
  redis.call('ZREM', KEYS[4], ARGV[1])
end
redis.call('PUBLISH', ARGV[5], ARGV[1])
return removed
