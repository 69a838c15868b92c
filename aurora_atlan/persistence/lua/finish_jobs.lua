--[[
Takes decided jobs of one or more events out of their queues and notes their outcomes. Repeating it changes nothing but the pace.

ARGV[1] how long a finished job's hash lives (s)
Then for each event:
     KEYS    the event's stream, its meta, its users; its shard's index of events with work, of completed records and of
             failed ones: job ids, by when they were decided (us); the jobs' hashes, whose names end with the jobs' ids,
             of 36 characters
     ARGV    event id, last decided queue number or 0 to leave it, pace (us per job) or 0 when not measured, channel
             told of the change, how many jobs; for each job: queue number, user id, status, reason or '', booking id
             or '', decided at (us), attempts

Returns how many jobs left the queues.
]]
local ttl_s = ARGV[1]
local removed = 0

-- What is older than its hash lives is forgotten here, too; and all of it when nothing is added for so long.
local function note(index, noted, decided_at)
  if #noted == 0 then
    return
  end
  -- Lua hands over some thousand values at a time, and no more.
  for first = 1, #noted, 4000 do
    redis.call('ZADD', index, unpack(noted, first, math.min(first + 3999, #noted)))
  end
  redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('(%.0f', decided_at - ttl_s * 1000000))
  redis.call('EXPIRE', index, ttl_s)
end

local function note_progress(meta_key, last_decided, sample)
  local meta = redis.call('HMGET', meta_key, 'next', 'last_decided', 'pace', 'jitter')
  -- A queue that has forgotten its numbers is given new ones by seed_queue, above every number that was ever given,
  -- of which this batch need not have the highest.
  if not meta[1] then
    return
  end
  local changes = {}
  local function change(field, value)
    changes[#changes + 1] = field
    changes[#changes + 1] = string.format('%.0f', value)
  end
  if tonumber(meta[1]) <= last_decided then
    change('next', last_decided + 1)
    -- Redis went back, and what it lost with that number may be any job.
    redis.call('HDEL', meta_key, 'whole_since')
  end
  if tonumber(meta[2] or 0) < last_decided then
    change('last_decided', last_decided)
  end
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
    redis.call('HSET', meta_key, unpack(changes))
  end
end

-- KEYS and ARGV of an event begin behind these places.
local function finish(key, arg)
  local stream, users, pending = KEYS[key + 1], KEYS[key + 3], KEYS[key + 4]
  local event, last_decided, count = ARGV[arg + 1], tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 5])
  local completed, failed, decided_at = {}, {}, 0

  -- A queue that went back gives its numbers again: an entry is removed only when it is this very job's.
  local function is_queued(known, number, job)
    if known then
      return known == number
    end
    local entry = redis.call('XRANGE', stream, number .. '-0', number .. '-0')
    return entry[1] and entry[1][2][2] == job
  end

  for i = 1, count do
    local at = arg + 7 * i - 2
    local hash, number, user = KEYS[key + 6 + i], ARGV[at + 1], ARGV[at + 2]
    local job = string.sub(hash, -36)
    -- Every hash has it.
    local known = redis.call('HGET', hash, 'number')
    if is_queued(known, number, job) and redis.call('XDEL', stream, number .. '-0') == 1 then
      removed = removed + 1
      if redis.call('HINCRBY', users, user, -1) <= 0 then
        redis.call('HDEL', users, user)
      end
    end
    -- A hash that is gone stays gone: the ledger answers for it.
    if known then
      local status, decided = ARGV[at + 3], ARGV[at + 6]
      redis.call('HSET', hash, 'status', status, 'reason', ARGV[at + 4], 'booking', ARGV[at + 5], 'decided', decided,
        'attempts', ARGV[at + 7])
      redis.call('EXPIRE', hash, ttl_s)
      local noted = status == 'completed' and completed or failed
      noted[#noted + 1] = decided
      noted[#noted + 1] = job
      decided_at = math.max(decided_at, tonumber(decided))
    end
  end
  note(KEYS[key + 5], completed, decided_at)
  note(KEYS[key + 6], failed, decided_at)
  if last_decided > 0 then
    note_progress(KEYS[key + 2], last_decided, tonumber(ARGV[arg + 3]))
  end

  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
  if oldest[1] then
    redis.call('ZADD', pending, oldest[1][2][8], event)
  else
    redis.call('ZREM', pending, event)
  end
  redis.call('PUBLISH', ARGV[arg + 4], event)
  return key + 6 + count, arg + 5 + 7 * count
end

local key, arg = 0, 1
while key < #KEYS do
  key, arg = finish(key, arg)
end
return removed
