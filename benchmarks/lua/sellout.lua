-- Sends one booking for each buyer, again when it was answered 429 or 503, and then hardly anything.
--
-- Arguments: file of tokens, event id, how many tokens to skip, how many buyers
-- Reports when the first was sent, how many were accepted, how often one was sent again, and answers of other kinds.

local requests = require "requests"

local IDLE_MS = 50

local tokens, event, first, buyers, idle
local next_buyer, again, verified = 1, {}, false
local threads = {}

began, accepted, repeated, strange = 0, 0, 0, 0

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  tokens = requests.lines(args[1])
  event, first, buyers = args[2], tonumber(args[3]), tonumber(args[4])
  idle = "GET /livez HTTP/1.1\r\nHost: " .. wrk.host .. "\r\n\r\n"
end

local function nothing_to_send()
  return next_buyer > buyers and #again == 0
end

function delay()
  return nothing_to_send() and IDLE_MS or 0
end

function request()
  if not verified then
    -- wrk only looks at the first one.
    verified = true
    return idle
  end
  if nothing_to_send() then
    return idle
  end
  local buyer = table.remove(again)
  if not buyer then
    buyer = next_buyer
    next_buyer = buyer + 1
  end
  if began == 0 then
    began = requests.now()
  end
  -- The service repeats this id in its answer, which says whose it is.
  return requests.book(event, tokens[(first + buyer) % #tokens + 1], "X-Request-Id: buyer-" .. buyer .. "\r\n")
end

function response(status, headers)
  if status == 202 then
    accepted = accepted + 1
  elseif status == 429 or status == 503 then
    local buyer = tonumber(string.match(headers["X-Request-Id"] or "", "^buyer%-(%d+)$"))
    if buyer then
      again[#again + 1] = buyer
      repeated = repeated + 1
    end
  elseif status ~= 200 then
    strange = strange + 1
  end
end

function done(summary, latency)
  local thread = threads[1]
  requests.report(summary, latency, string.format(', "began_at": %.6f, "accepted": %d, "repeated": %d, "strange": %d',
    thread:get("began"), thread:get("accepted"), thread:get("repeated"), thread:get("strange")))
end
