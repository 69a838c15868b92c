-- What the scripts of wrk have in common: reading lists, requests as bytes, pacing, and a report for programs.

local ffi = require "ffi"

ffi.cdef [[
typedef struct { long s; long ns; } benchmark_time;
int clock_gettime(int clock, benchmark_time *time);
]]

local REALTIME = 0
local time = ffi.new "benchmark_time"

local M = {}

-- Seconds since 1970.
function M.now()
  ffi.C.clock_gettime(REALTIME, time)
  return tonumber(time.s) + tonumber(time.ns) / 1e9
end

function M.lines(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

-- A booking of one ticket; `headers` is '' or whole lines.
function M.book(event, token, headers)
  return "POST /api/bookings/" .. event .. "/book HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nAuthorization: Bearer "
    .. token .. "\r\nContent-Length: 0\r\n" .. headers .. "\r\n"
end

-- A delay() for wrk: one request every 1/rate seconds over all connections, and what is late at once.
function M.pace(rate)
  local turn
  return function()
    local now = M.now()
    turn = turn and turn + 1 / rate or now
    return math.max(0, math.floor((turn - now) * 1000))
  end
end

-- A done() for wrk: the last line it prints, as JSON; times in milliseconds.
function M.report(summary, latency, more)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_s": %.6f, "refused": %d, "broken": %d, "late": %d, '
      .. '"p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f%s}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write,
    errors.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000, more or ""))
end

return M
