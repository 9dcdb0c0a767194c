-- The generic cell rate algorithm of rate.rs, for processes that share a limit.
--
-- KEYS[1]  what is limited; kept is when its bucket is full again: seconds, nanoseconds
-- ARGV     cost and tolerance in nanoseconds, and 1 if the cost is within the quota at all
--
-- Gives the nanoseconds owed before, as text. The caller decides by the same arithmetic.
-- Time is the server's, so that the clocks of those who ask do not matter. It is kept in two
-- numbers, as the nanoseconds since 1970 are more than Lua's numbers hold exactly.
local time = redis.call('TIME')
local seconds, nanos = tonumber(time[1]), tonumber(time[2]) * 1000
local cost, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local owed = 0
local full_s, full_ns = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if full_s then
  owed = (tonumber(full_s) - seconds) * 1e9 + tonumber(full_ns) - nanos
  owed = math.max(0, math.min(owed, tolerance))
end
local after = owed + cost
if ARGV[3] == '1' and cost > 0 and after <= tolerance then
  local full = nanos + after
  local value = string.format('%.0f %.0f', seconds + math.floor(full / 1e9), full % 1e9)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(after / 1e6) + 1))
end
return string.format('%.0f', owed)
