-- Who is at work at a time, for processes that share a number of slots.
--
-- KEYS[1]  a hash: `h NAME` of who holds a slot, until when that holds without a word from them;
--          `w NAME` of who waits, their number in the queue and until when they count;
--          `next`, the number of who comes next
-- ARGV     what to do: take, keep, leave; the name; slots there are; how long a holder and a
--          waiter count who say nothing, in ms
--
-- Gives 1 if the name has a slot now, else 0. Those who wait are served in the order in which
-- they first asked. Who keeps a slot that was taken for dead has it again, beyond the number if
-- need be: the work is under way.
local action, name = ARGV[1], ARGV[2]
local slots, held_ms, waits_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local key = KEYS[1]
local holds, waits = 'h ' .. name, 'w ' .. name
if action == 'leave' then
  redis.call('HDEL', key, holds, waits)
  return 0
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function hold()
  redis.call('HDEL', key, waits)
  redis.call('HSET', key, holds, string.format('%.0f', now + held_ms))
  redis.call('PEXPIRE', key, string.format('%.0f', 2 * held_ms + waits_ms))
  return 1
end
if action == 'keep' then return hold() end

local held, queue, own = 0, {}, nil
local fields = redis.call('HGETALL', key)
for at = 1, #fields, 2 do
  local field, value = fields[at], fields[at + 1]
  local sort = string.sub(field, 1, 2)
  if sort == 'h ' then
    local till = tonumber(value)
    -- A clock that went back must not keep anybody for longer.
    if field == holds then return hold() end
    if till <= now or till > now + held_ms then
      redis.call('HDEL', key, field)
    else
      held = held + 1
    end
  elseif sort == 'w ' then
    local number, till = string.match(value, '^(%d+) (%d+)$')
    number, till = tonumber(number), tonumber(till)
    if field == waits then
      own = number
    elseif till <= now or till > now + waits_ms then
      redis.call('HDEL', key, field)
    else
      queue[#queue + 1] = number
    end
  end
end
own = own or redis.call('HINCRBY', key, 'next', 1)
local before = 0
for _, number in ipairs(queue) do
  if number < own then before = before + 1 end
end
if held + before < slots then return hold() end
redis.call('HSET', key, waits, string.format('%.0f %.0f', own, now + waits_ms))
redis.call('PEXPIRE', key, string.format('%.0f', 2 * held_ms + waits_ms))
return 0
