-- The circuit breaker of breaker.rs, for processes that share one.
--
-- KEYS[1]  the breaker; a hash
-- ARGV     what to do: acquire, look, or tell how a call went: success, failure, nothing;
--          failures that open it (0: never), how long it stays open, how long a probe may take
--          until its process counts as dead (both ms); when telling, the period of the call;
--          the name of the call
--
-- Gives: state (0 closed, 1 open, 2 half-open), failures in a row, times opened, ms until the
-- next probe or -1, the period, and 1 if the call may be made. A period ends with each change of
-- state: a call that began before says nothing about the time after.
local action, call = ARGV[1], ARGV[6]
local threshold, open_ms, probe_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local names = {'state', 'failures', 'opens', 'open_until', 'period', 'probe', 'probe_until'}
local kept, is_changed = {}, false
for at, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  kept[names[at]] = value
end
local state = tonumber(kept.state or 0)
local failures = tonumber(kept.failures or 0)
local opens = tonumber(kept.opens or 0)
local open_until = tonumber(kept.open_until or 0)
-- Unlike any before it, should this breaker have been forgotten.
local period = tonumber(kept.period or now)
local probe = kept.probe or ''
local probe_until = tonumber(kept.probe_until or 0)
local CLOSED, OPEN, HALF = 0, 1, 2

local function change(to)
  state, period, probe, probe_until, is_changed = to, period + 1, '', 0, true
end

if state == OPEN then
  -- A clock that went back, or a shorter time now, must not keep it open for longer.
  open_until = math.min(open_until, now + open_ms)
  if now >= open_until then change(HALF) end
end

local may_call = 0
if action == 'acquire' then
  if state == CLOSED then
    may_call = 1
    is_changed = is_changed or not kept.period
  elseif state == HALF and probe_until <= now then
    probe, probe_until, may_call, is_changed = call, now + probe_ms, 1, true
  end
elseif action ~= 'look' and tonumber(ARGV[5]) == period and (state ~= HALF or probe == call) then
  if action == 'success' then
    if failures > 0 then failures, is_changed = 0, true end
    if state == HALF then change(CLOSED) end
  elseif action == 'failure' then
    failures, is_changed = failures + 1, true
    if state == HALF or (state == CLOSED and threshold > 0 and failures >= threshold) then
      opens, open_until = opens + 1, now + open_ms
      change(OPEN)
    end
  elseif state == HALF then
    probe, probe_until, is_changed = '', 0, true
  end
end

if is_changed then
  local values = {state, failures, opens, open_until, period, probe, probe_until}
  local pairs_ = {}
  for at, name in ipairs(names) do
    local value = values[at]
    pairs_[#pairs_ + 1] = name
    pairs_[#pairs_ + 1] = type(value) == 'number' and string.format('%.0f', value) or value
  end
  redis.call('HSET', KEYS[1], unpack(pairs_))
end
if is_changed or action == 'acquire' then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(3600000, 2 * open_ms + probe_ms)))
end
local wait = -1
if state == OPEN then wait = open_until - now end
return {state, failures, opens, wait, period, may_call}
