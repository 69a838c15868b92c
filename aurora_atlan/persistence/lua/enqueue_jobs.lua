--[[
Accepts jobs of one or more events in their order, each of them wholly or not at all.

A job id that is known is not queued again. Nothing is written for a job that is not accepted.

ARGV[1] most jobs an event may have waiting   ARGV[2] most jobs a user may have waiting for an event
ARGV[3] how long a finished job's hash lives (s)
Then for each event:
     KEYS    the event's stream, its meta, its users, its shard's index of events with work; the jobs' hashes, whose
             names end with the jobs' ids, of 36 characters
     ARGV    event id, how many jobs; for each job: user id, quantity, request id or ''

Returns words with blanks between: the time (us since 1970), then for each event: last decided number, pace (us per
job), its jitter (us), 1 if an earlier job of the event may have been forgotten here, 1 if a job waited for it already,
and an answer for each job, being
     queue number    accepted now
     known:NUMBER:ACCEPTED:DECIDED   known already: its queue number, when it was accepted (us), 1 if it has its answer
     conflict        the id is known for another quantity
     gone            the event was deleted: its queue takes no new jobs
     unseeded        the queue's numbers are not known here: seed_queue.lua first
     full or crowded the event's or the user's limit is reached
One string, since Redis 6 sends every table in a packet of its own, and each would wake the reader. And one call for
all: what a call costs by itself, on both sides, is more than what a job costs.
]]
local depth_max, user_jobs_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_text = string.format('%.0f', now)
local reply = {now_text}

local function whole_number(text)
  return string.format('%.0f', tonumber(text or 0))
end

-- KEYS and ARGV of an event begin behind these places.
local function enqueue(key, arg)
  local stream, meta_key, users = KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  local event, count = ARGV[arg + 1], tonumber(ARGV[arg + 2])
  local meta = redis.call('HMGET', meta_key, 'next', 'last_decided', 'pace', 'jitter', 'gone', 'whole_since')
  local number = meta[1] and tonumber(meta[1])
  local waiting = redis.call('XLEN', stream)
  local waited = waiting
  -- What meta says is next; above every number given here from the first on, so that none is given twice should the
  -- script end early.
  local noted

  local function note_next(next)
    noted = next
    redis.call('HSET', meta_key, 'next', string.format('%.0f', next))
  end

  local function answer(i, user, quantity, request)
    local hash = KEYS[key + 4 + i]
    local known = redis.call('HMGET', hash, 'number', 'quantity', 'accepted', 'status')
    if known[1] then
      return known[2] == quantity and 'known:' .. known[1] .. ':' .. known[3] .. (known[4] and ':1' or ':0')
        or 'conflict'
    end
    if meta[5] then
      return 'gone'
    end
    if not number then
      return 'unseeded'
    end
    if waiting >= depth_max then
      return 'full'
    end
    -- Read before anything is written: a refusal costs no sync, and is given in a full Redis, too.
    if tonumber(redis.call('HGET', users, user) or 0) >= user_jobs_max then
      return 'crowded'
    end
    if not noted then
      note_next(number + count - i + 1)
    end
    redis.call('HINCRBY', users, user, 1)
    local given = string.format('%.0f', number)
    -- The entry's id is the queue number: the stream is the order, and can be read from any number on.
    redis.call('XADD', stream, given .. '-0', 'job', string.sub(hash, -36),
      'user', user, 'quantity', quantity, 'accepted', now_text, 'request', request)
    redis.call('HSET', hash, 'event', event, 'user', user, 'quantity', quantity, 'number', given, 'accepted', now_text)
    number = number + 1
    waiting = waiting + 1
    return given
  end

  local whole = meta[6] and now < tonumber(meta[6]) + ARGV[3] * 1000000
  reply[#reply + 1] = whole_number(meta[2])
  reply[#reply + 1] = whole_number(meta[3])
  reply[#reply + 1] = whole_number(meta[4])
  reply[#reply + 1] = whole and '0' or '1'
  reply[#reply + 1] = waited > 0 and '1' or '0'
  for i = 1, count do
    local job = arg + 3 * i
    reply[#reply + 1] = answer(i, ARGV[job], ARGV[job + 1], ARGV[job + 2])
  end
  if noted and noted > number then
    note_next(number)
  end
  if waiting > waited then
    redis.call('ZADD', KEYS[key + 4], 'NX', now_text, event)
  end
  return key + 4 + count, arg + 2 + 3 * count
end

local key, arg = 0, 3
while key < #KEYS do
  key, arg = enqueue(key, arg)
end
return table.concat(reply, ' ')
