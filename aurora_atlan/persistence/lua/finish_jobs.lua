--[[
Takes decided jobs of one event out of the queue and notes their outcome. Repeating it changes nothing.

KEYS[1] event's stream   KEYS[2] event's meta   KEYS[3] event's users   KEYS[4] shard's index of events with work
KEYS[5] shard's index of completed records   KEYS[6] of failed ones: job ids, by when they were decided (us)
KEYS[7..] the jobs' hashes
ARGV[1] event id   ARGV[2] last decided queue number, 0 to leave it   ARGV[3] seconds that finished hashes live
ARGV[4] pace (us per job), 0 when not measured   ARGV[5] channel told of the change
ARGV[6..] for each job: queue number, user id, job id, status, reason or '', booking id or '', decided at (us), attempts

Returns how many jobs left the queue.
]]
local removed = 0
local completed, failed = {}, {}
local decided_at = 0

-- A queue that went back gives its numbers again: an entry is removed only when it is this very job's.
local function is_queued(known, number, job)
  if known then
    return known == number
  end
  local entry = redis.call('XRANGE', KEYS[1], number .. '-0', number .. '-0')
  return entry[1] and entry[1][2][2] == job
end

local arg = 6
for i = 7, #KEYS do
  local number, user, job = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2]
  -- Every hash has it.
  local known = redis.call('HGET', KEYS[i], 'number')
  if is_queued(known, number, job) and redis.call('XDEL', KEYS[1], number .. '-0') == 1 then
    removed = removed + 1
    if redis.call('HINCRBY', KEYS[3], user, -1) <= 0 then
      redis.call('HDEL', KEYS[3], user)
    end
  end
  -- A hash that is gone stays gone: the ledger answers for it.
  if known then
    local status = ARGV[arg + 3]
    redis.call('HSET', KEYS[i], 'status', status, 'reason', ARGV[arg + 4], 'booking', ARGV[arg + 5],
      'decided', ARGV[arg + 6], 'attempts', ARGV[arg + 7])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
    local noted = status == 'completed' and completed or failed
    noted[#noted + 1] = ARGV[arg + 6]
    noted[#noted + 1] = job
    decided_at = math.max(decided_at, tonumber(ARGV[arg + 6]))
  end
  arg = arg + 8
end

-- What is older than its hash lives is forgotten here, too; and all of it when nothing is added for so long.
local function note(index, noted)
  if #noted == 0 then
    return
  end
  -- Lua hands over some thousand values at a time, and no more.
  for first = 1, #noted, 4000 do
    redis.call('ZADD', index, unpack(noted, first, math.min(first + 3999, #noted)))
  end
  redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('(%.0f', decided_at - ARGV[3] * 1000000))
  redis.call('EXPIRE', index, ARGV[3])
end
note(KEYS[5], completed)
note(KEYS[6], failed)

local last_decided = tonumber(ARGV[2])
local meta = redis.call('HMGET', KEYS[2], 'next', 'last_decided', 'pace', 'jitter')
-- A queue that has forgotten its numbers is given new ones by seed_queue, above every number that was ever given,
-- of which this batch need not have the highest.
if last_decided > 0 and meta[1] then
  local changes = {}
  local function change(field, value)
    changes[#changes + 1] = field
    changes[#changes + 1] = string.format('%.0f', value)
  end
  if tonumber(meta[1]) <= last_decided then
    change('next', last_decided + 1)
    -- Redis went back, and what it lost with that number may be any job.
    redis.call('HDEL', KEYS[2], 'whole_since')
  end
  if tonumber(meta[2] or 0) < last_decided then
    change('last_decided', last_decided)
  end
  local sample = tonumber(ARGV[4])
  if sample > 0 then
    -- Exponentially weighted means: a fifth of the newest batch, and a quarter of how far it was off the mark, which
    -- is half of the first (RFC 6298, section 2, which does so for round trips).
    local pace, jitter = sample, sample / 2
    local before = tonumber(meta[3] or 0)
    if before > 0 then
      pace = before * 0.8 + sample * 0.2
      jitter = tonumber(meta[4] or before / 2) * 0.75 + math.abs(sample - before) * 0.25
    end
    change('pace', math.max(1, pace))
    change('jitter', jitter)
  end
  if #changes > 0 then
    redis.call('HSET', KEYS[2], unpack(changes))
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
