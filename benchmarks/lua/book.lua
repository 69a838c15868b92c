-- Books without end: the next user of one list, the next event of another, round and round.
--
-- Arguments: file of tokens, file of event ids, how many tokens to skip, requests per second (0: no limit)

local requests = require "requests"

local tokens, events, sent

function init(args)
  tokens, events = requests.lines(args[1]), requests.lines(args[2])
  sent = tonumber(args[3])
  local rate = tonumber(args[4])
  if rate > 0 then
    delay = requests.pace(rate)
  end
end

function request()
  sent = sent + 1
  return requests.book(events[sent % #events + 1], tokens[sent % #tokens + 1], "")
end

function done(summary, latency)
  requests.report(summary, latency)
end
