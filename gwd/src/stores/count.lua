-- Counts a request against one limit, atomically and by the clock of the server.
-- KEYS[1]: the counter.
-- KEYS[2]: mark of an addition.
-- ARGV: algorithm (bucket, window, calendar), tokens per period, period (ms), burst, cost, end of
-- the calendar period (minutes of Unix time), least, window, time to live of the mark (ms).
-- Result: admitted (0 or 1), tokens left, time until the next token or the end of the period (us),
-- tokens taken, number of the window (0 for other algorithms).
-- A smaller number of tokens than `cost` is taken if it is `least` or more. A negative cost returns
-- tokens, if `window` is empty or the current window. A cost of 0 reads the counter.
-- With a mark, `cost` tokens that a gateway has counted before are added, up to the limit, unless
-- the mark exists. Result: added (0 or 1).
-- `gateways`, id, time to live (ms): adds a gateway to the set of gateways that use leases, or
-- removes it if the time is 0. Result: number of gateways, and zeros.
if ARGV[1] == 'gateways' then
  local time = redis.call('TIME')
  local now, live = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[3])
  if live > 0 then
    redis.call('ZADD', KEYS[1], now + live, ARGV[2])
    redis.call('PEXPIRE', KEYS[1], live)
  else
    redis.call('ZREM', KEYS[1], ARGV[2])
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  return {redis.call('ZCARD', KEYS[1]), 0, 0, 0, 0}
end

local marked = tonumber(ARGV[9])
if marked and not redis.call('SET', KEYS[2], '', 'NX', 'PX', string.format('%.0f', marked)) then
  return {0, 0, 0, 0, 0}
end

local algorithm, count = ARGV[1], tonumber(ARGV[2])
local period, burst, cost = tonumber(ARGV[3]) * 1000, tonumber(ARGV[4]), tonumber(ARGV[5])
local least = tonumber(ARGV[7]) or cost
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local old = redis.call('GET', KEYS[1]) or ''

local function set(value, us)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(us / 1000) + 1000))
end

-- Reduces the cost to the tokens that are left.
local function fit(room)
  if cost > least and cost > room then
    cost = math.max(marked and room or math.floor(room), least)
  end
end

if algorithm == 'bucket' then
  local interval = period / count
  local depth = interval * burst
  local tat, before = string.match(old, '^b:(%d+):([%d.]+)$')
  local ahead = math.max((tonumber(tat) or 0) - now, 0)
  before = tonumber(before) or interval
  -- After a change of the rate, what was used counts as so many tokens.
  ahead = ahead / before * interval
  -- After a smaller burst, or if the clock was set back, the bucket is empty at most.
  local is_beyond = ahead > depth
  ahead = math.min(ahead, depth)
  local asked = cost
  fit((depth - ahead) / interval)
  local after = math.max(ahead + interval * cost, 0)
  if marked or cost < asked and cost > least then
    -- Rounding must not refuse what was reduced to fit.
    after = math.min(after, depth)
  end
  if cost > 0 and after > depth then
    if is_beyond then
      set(string.format('b:%.0f:%.6f', now + ahead, interval), ahead)
    end
    -- A cost above the burst waits for a full bucket, and is then refused again.
    return {0, math.max(math.floor((depth - ahead) / interval), 0), math.ceil(math.min(after - depth, ahead)), 0, 0}
  end
  set(string.format('b:%.0f:%.6f', now + after, interval), after)
  return {1, math.max(math.floor((depth - after) / interval), 0), math.max(math.ceil(after + interval - depth), 0), cost, 0}
end

if algorithm == 'window' then
  local number = math.floor(now / period)
  local left = period - now % period
  if cost < 0 and ARGV[8] and ARGV[8] ~= '' and tonumber(ARGV[8]) ~= number then
    return {1, 0, 0, 0, number}
  end
  local length, at, before, current = string.match(old, '^w:(%d+):(%d+):(%d+):(%d+)$')
  length, at, before, current = tonumber(length), tonumber(at), tonumber(before) or 0, tonumber(current) or 0
  -- Counts that are moved to this window are written even if the request is refused. Otherwise each
  -- refused request would move them again, and they would not leave the window.
  local is_moved = old ~= '' and (length ~= period or at > number)
  local function write()
    set(string.format('w:%.0f:%.0f:%.0f:%.0f', period, number, before, current), left + period)
  end
  if length ~= period then
    before, current = 0, math.min(before + current, count)
  elseif at == number - 1 then
    before, current = current, 0
  elseif at < number - 1 then
    before, current = 0, 0
  end
  local used = current + math.ceil(before * left / period)
  fit(count - used)
  local after = math.max(used + cost, 0)
  if cost > 0 and after > count then
    -- A cost above the limit waits for an unused window, and is then refused again.
    local room = math.max(count - cost, 0)
    local wait = 0
    if current > room then
      wait = left + math.ceil(period * (1 - room / current))
    elseif before > 0 then
      wait = math.max(left - math.floor((room - current) * period / before), 0)
    end
    if is_moved then
      write()
    end
    return {0, math.max(count - used, 0), wait, 0, number}
  end
  current = math.max(current + cost, 0)
  write()
  return {1, math.max(count - after, 0), 0, cost, number}
end

local minute = 60000000
local stop, used = string.match(old, '^c:(%d+):(%d+)$')
local own = tonumber(ARGV[6])
if own * minute <= now then
  -- The clock of the gateway is behind: count in a period that is not over.
  own = own + math.floor((now - own * minute) / period + 1) * (period / minute)
end
stop, used = tonumber(stop) or own, tonumber(used) or 0
if cost < 0 and stop ~= own then
  return {1, 0, 0, 0, 0}
end
local is_moved = false
if stop * minute <= now then
  -- The counter's period is over.
  stop, used = own, 0
elseif stop < own or stop > own + 2 * period / minute then
  -- Another period of the calendar since a release, or a clock that was set back: what was used
  -- stays used in this period.
  stop = own
  is_moved = true
end
fit(count - used)
local after = math.max(used + cost, 0)
local wait = math.max(stop * minute - now, 0)
if cost > 0 and after > count then
  if is_moved then
    set(string.format('c:%.0f:%.0f', stop, used), wait)
  end
  return {0, math.max(count - used, 0), wait, 0, 0}
end
set(string.format('c:%.0f:%.0f', stop, after), wait)
return {1, math.max(count - after, 0), wait, cost, 0}
