-- What processes with one cache have invalidated; see generations.rs and remote.rs.
--
-- KEYS  the last number given; invalidations as a sorted set, by number; the run id of the server
--       that these are of; when looking, a value
-- ARGV  look or invalidate; the last number that the caller knows; what to invalidate and how
--       many are kept at most; (from the connection) the server's run id
--
-- Gives: the value or false, the ms it has left, the number given or 0, and all invalidations
-- since the number known, each followed by its number. Value and news are of one moment.
local action, known, target, targets_max = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local EVERYTHING = '- -'
local time = redis.call('TIME')
-- Microseconds: so that numbers go on growing on a server that knows nothing of those before.
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function add(what)
  local number = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) + 1, known + 1, now)
  local text = string.format('%.0f', number)
  redis.call('SET', KEYS[1], text)
  if what == EVERYTHING then redis.call('DEL', KEYS[2]) end
  redis.call('ZADD', KEYS[2], text, what)
  return number
end

-- A server that took over, lost its memory or evicted ours to have room may have missed an
-- invalidation: all are stale. From then on there always is at least this one.
if redis.call('GET', KEYS[3]) ~= ARGV[5] or redis.call('ZCARD', KEYS[2]) == 0 then
  add(EVERYTHING)
  redis.call('SET', KEYS[3], ARGV[5])
end
local number = 0
if action == 'invalidate' then
  if redis.call('ZCARD', KEYS[2]) >= targets_max then target = EVERYTHING end
  number = add(target)
end
local value, left = false, 0
if action == 'look' then
  value = redis.call('GET', KEYS[4])
  left = redis.call('PTTL', KEYS[4])
end
local news = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf', 'WITHSCORES')
return {value, left, number, news}
