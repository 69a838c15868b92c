--[[
Accepts jobs of one event in their order, each of them wholly or not at all.

A job id that is known is not queued again. Nothing is written for a job that is not accepted.

KEYS[1] event's stream   KEYS[2] event's meta   KEYS[3] event's users   KEYS[4] shard's index of events with work
KEYS[5..] the jobs' hashes
ARGV[1] event id   ARGV[2] most jobs the event may have waiting   ARGV[3] most jobs a user may have waiting for it
ARGV[4] how long a finished job's hash lives (s)   ARGV[5..] for each job: job id, user id, quantity, request id or ''

Returns words with blanks between: last decided number, pace (us per job), its jitter (us), time (us since 1970), 1 if an
earlier job of the event may have been forgotten here, and an answer for each job, being
     queue number    accepted now
     known:NUMBER:ACCEPTED:DECIDED   known already: its queue number, when it was accepted (us), 1 if it has its answer
     conflict        the id is known for another quantity
     gone            the event was deleted: its queue takes no new jobs
     unseeded        the queue's numbers are not known here: seed_queue.lua first
     full or crowded the event's or the user's limit is reached
One string, since Redis 6 sends every table in a packet of its own, and each would wake the reader.
]]
local meta = redis.call('HMGET', KEYS[2], 'next', 'last_decided', 'pace', 'jitter', 'gone', 'whole_since')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_text = string.format('%.0f', now)
local number = meta[1] and tonumber(meta[1])
local waiting = redis.call('XLEN', KEYS[1])
local depth_max, user_jobs_max = tonumber(ARGV[2]), tonumber(ARGV[3])
-- What meta says is next; above every number given here from the first on, so that none is given twice should the
-- script end early.
local noted

local function note_next(next)
  noted = next
  redis.call('HSET', KEYS[2], 'next', string.format('%.0f', next))
end

local function answer(i, job, user, quantity, request)
  local hash = KEYS[i]
  local known = redis.call('HMGET', hash, 'number', 'quantity', 'accepted', 'status')
  if known[1] then
    return known[2] == quantity and 'known:' .. known[1] .. ':' .. known[3] .. (known[4] and ':1' or ':0') or 'conflict'
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
  if tonumber(redis.call('HGET', KEYS[3], user) or 0) >= user_jobs_max then
    return 'crowded'
  end
  if not noted then
    note_next(number + #KEYS - i + 1)
  end
  redis.call('HINCRBY', KEYS[3], user, 1)
  local given = string.format('%.0f', number)
  -- The entry's id is the queue number: the stream is the order, and can be read from any number on.
  redis.call('XADD', KEYS[1], given .. '-0',
    'job', job, 'user', user, 'quantity', quantity, 'accepted', now_text, 'request', request)
  redis.call('HSET', hash, 'event', ARGV[1], 'user', user, 'quantity', quantity,
    'number', given, 'accepted', now_text)
  number = number + 1
  waiting = waiting + 1
  return given
end

local waited = waiting
local whole = meta[6] and now < tonumber(meta[6]) + ARGV[4] * 1000000
local function whole_number(text)
  return string.format('%.0f', tonumber(text or 0))
end

local reply = {whole_number(meta[2]), whole_number(meta[3]), whole_number(meta[4]), now_text, whole and '0' or '1'}
for i = 5, #KEYS do
  local arg = 4 * i - 15
  reply[i + 1] = answer(i, ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3])
end
if noted and noted > number then
  note_next(number)
end
if waiting > waited then
  redis.call('ZADD', KEYS[4], 'NX', now_text, ARGV[1])
end
return table.concat(reply, ' ')
