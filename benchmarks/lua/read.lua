-- Sends the request of the command line without end.

local requests = require "requests"

function done(summary, latency)
  requests.report(summary, latency)
end
