/**
 * The protocol of one key, in Lua, run by Redis in one step. It counts in the same whole units as the engines
 * (`docs/decisions/exact-buckets.md`), which doubles hold exactly, so that all three agree to the last unit.
 *
 * A key is one hash. `@t` is the instant up to which it is refilled, `@e` its *epoch*, `@x` the epoch that a reset ended,
 * `@c:<replica>` the number of that replica's last correction. Every limit has a field of its name:
 * `b <spent> <capacity> <perMs> <perMilli>` or `q <spent> <limit> <anchor day, 0 for days> <healed>`.
 *
 * An epoch begins when the hash is made and when another server is found to serve it. What a caller knows from an earlier
 * one heals what the server has lost: a bucket keeps the larger amount, a quota adds to the largest amount that anybody
 * knew what was spent since.
 *
 * Arguments: operation, now (empty for the server's own time), server, channel, caller, epoch and instant of what the
 * caller knows (both may be empty), three numbers of the operation, how many limits; then per limit name, kind, two or
 * three parameters and a start (see `wire.ts`), what the caller knows to be spent, and the correction in thousandths.
 *
 * - `take`: need, want, divisor. Grants `want`, at most the divisor's part of what is left, at least `need`; or denies.
 *   Beyond the need whole tokens only: of parts of tokens nobody could make up a call, and the last calls would be lost.
 * - `peek`: need. Says what `take` would, and writes nothing.
 * - `adjust`: instant of the decision, flags (1: quotas only, 2: tell the others), number of the correction or empty.
 * - `reset`.
 *
 * Answers with the limit that denies (0: none), what was granted, now, the epoch, and what is spent per limit.
 */
export const SCRIPT = `
local DAY = 86400000
local MAX = 4503599627370496
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local key = KEYS[1]
local op, server, channel, caller = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local knownEpoch, knownAt = ARGV[6], tonumber(ARGV[7])
local count = tonumber(ARGV[11])

local function whole(n) return string.format('%.0f', n) end

local function daysOf(y, m)
  if m < 1 then y, m = y - 1, m + 12 elseif m > 12 then y, m = y + 1, m - 12 end
  local shifted = m <= 2 and y - 1 or y
  local era = floor(shifted / 400)
  local yoe = shifted - era * 400
  local doy = floor((153 * (m > 2 and m - 3 or m + 9) + 2) / 5)
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

local function monthStart(y, m, anchor)
  local first = daysOf(y, m)
  return (first + min(anchor, daysOf(y, m + 1) - first) - 1) * DAY
end

local function periodOf(at, anchor)
  if anchor == 0 then
    local start = at - at % DAY
    return start, start + DAY
  end
  local z = floor(at / DAY) + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  local y = yoe + era * 400 + (m <= 2 and 1 or 0)
  local this = monthStart(y, m, anchor)
  if this > at then return max(0, monthStart(y, m - 1, anchor)), this end
  return this, monthStart(y, m + 1, anchor)
end

-- ceil(spent * to / from), exactly: bit by bit, since the product has up to 103 bits.
local function converted(spent, from, to)
  if from == to then return spent end
  local quotient, rest, bit = 0, 0, MAX
  while bit >= 1 do
    quotient, rest = quotient * 2, rest * 2
    if spent >= bit then
      spent = spent - bit
      rest = rest + to
    end
    local times = floor(rest / from)
    quotient, rest = quotient + times, rest - times * from
    if quotient > MAX then return MAX end
    bit = bit / 2
  end
  return min(MAX, rest > 0 and quotient + 1 or quotient)
end

local hash, exists = {}, false
do
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  exists = #flat > 0
end

local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end
local before = tonumber(hash['@t']) or now
now = max(now, before)

local epoch, ended = hash['@e'] or '', hash['@x']
if server == 'cluster' then server = string.sub(redis.call('CLUSTER', 'MYID'), 1, 12) end
local fresh = string.sub(epoch, 1, #server + 1) ~= server .. ':'
if fresh then epoch = server .. ':' .. whole(now) end

if op == 'reset' then
  redis.call('DEL', key)
  local ending = hash['@e']
  if ending then
    if epoch == ending then epoch = epoch .. '+' end
    redis.call('HSET', key, '@e', epoch, '@x', ending)
    redis.call('PEXPIRE', key, DAY)
  end
  redis.call('PUBLISH', channel, caller .. ' reset ' .. key)
  return {0, 0, now, epoch}
end

-- Everything that the key holds, brought to the present under the rules that it was under.
local state = {}
for name, text in pairs(hash) do
  if string.sub(name, 1, 1) ~= '@' then
    local kind, a, b, c, d = string.match(text, '^(%a) (%d+) (%d+) (%d+) (%d+)$')
    local slot = {kind = kind, was = tonumber(a), b = tonumber(b), c = tonumber(c), d = tonumber(d)}
    if kind == 'b' then
      slot.spent = max(0, slot.was - (now - before) * slot.c)
    else
      local start = periodOf(now, slot.c)
      local rolls = before < start
      slot.spent = rolls and 0 or slot.was
      if rolls then slot.d = 0 elseif fresh then slot.d = slot.was end
    end
    state[name] = slot
  end
end

local limits = {}
for i = 1, count do
  local at = 12 + (i - 1) * 8
  limits[i] = {
    name = ARGV[at], kind = ARGV[at + 1], b = tonumber(ARGV[at + 2]), c = tonumber(ARGV[at + 3]),
    d = tonumber(ARGV[at + 4]), initial = tonumber(ARGV[at + 5]), known = tonumber(ARGV[at + 6]),
    delta = tonumber(ARGV[at + 7]),
  }
end

-- Under the rules of the caller's tier: a bucket keeps its fraction, a quota what was used of the same period.
local function enter()
  local changed = false
  for _, limit in ipairs(limits) do
    local slot = state[limit.name]
    if not slot then
      state[limit.name] =
        {kind = limit.kind, spent = limit.initial, b = limit.b, c = limit.c, d = limit.kind == 'b' and limit.d or 0}
    elseif slot.b ~= limit.b or slot.c ~= limit.c or (limit.kind == 'b' and slot.d ~= limit.d) then
      changed = true
      if limit.kind == 'b' then
        slot.spent = converted(slot.spent, slot.b, limit.b)
        slot.d = limit.d
      elseif slot.c ~= limit.c then
        local same = slot.was and (periodOf(before, slot.c)) == (periodOf(now, limit.c))
        slot.spent = same and slot.was or 0
        slot.d = same and slot.d or 0
      end
      slot.b, slot.c = limit.b, limit.c
    end
  end
  return changed
end

-- What the caller knows from an epoch that is over, unless a reset has ended it.
local function heal()
  if knownEpoch == '' or knownEpoch == epoch or knownEpoch == ended or not knownAt then return end
  for _, limit in ipairs(limits) do
    local slot = state[limit.name]
    if limit.known and slot then
      if limit.kind == 'b' then
        slot.spent = max(slot.spent, limit.known - max(0, now - knownAt) * limit.c)
      elseif (periodOf(min(knownAt, now), limit.c)) == (periodOf(now, limit.c)) and limit.known > slot.d then
        slot.spent = min(MAX, slot.spent + limit.known - slot.d)
        slot.d = limit.known
      end
    end
  end
end

local function save(extra, value)
  local fields, ttl = {'@t', whole(now), '@e', epoch}, DAY
  for name, slot in pairs(state) do
    fields[#fields + 1] = name
    fields[#fields + 1] =
      table.concat({slot.kind, whole(slot.spent), whole(slot.b), whole(slot.c), whole(slot.d)}, ' ')
    if slot.kind == 'b' then
      ttl = max(ttl, ceil(slot.spent / slot.c) + DAY)
    else
      local _, finish = periodOf(now, slot.c)
      ttl = max(ttl, finish - now + DAY)
    end
  end
  if extra then
    fields[#fields + 1] = extra
    fields[#fields + 1] = value
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, whole(ttl))
end

local function answer(status, granted)
  local reply = {status, granted, now, epoch}
  for i, limit in ipairs(limits) do
    local slot = state[limit.name]
    reply[4 + i] = slot and slot.spent or limit.initial
  end
  return reply
end

if op == 'adjust' then
  local at, flags, number = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  local counter = '@c:' .. caller
  if number and number <= (tonumber(hash[counter]) or 0) then return answer(0, 0) end
  local charges, knows = false, false
  for _, limit in ipairs(limits) do
    charges = charges or limit.delta > 0
    knows = knows or (limit.known ~= nil and knownEpoch ~= '')
  end
  if not next(state) then
    if not charges and not knows then return {0, 0, now, ''} end
    enter()
  end
  heal()
  for _, limit in ipairs(limits) do
    local slot = state[limit.name]
    if slot then
      local applies = flags % 2 == 0
      if slot.kind == 'q' then applies = (periodOf(now, slot.c)) == (periodOf(at, limit.c)) end
      if applies then
        slot.spent = min(MAX, max(0, slot.spent + limit.delta * (slot.kind == 'b' and slot.d or 1)))
      end
    end
  end
  save(number and counter, number and whole(number))
  if flags >= 2 then redis.call('PUBLISH', channel, caller .. ' change ' .. key) end
  return answer(0, 0)
end

local need = tonumber(ARGV[8])
local changed = enter()
heal()
local denied, longest, left = 0, 0, nil
for i, limit in ipairs(limits) do
  local spent = state[limit.name].spent
  local wait, has
  if limit.kind == 'b' then
    local missing = spent + need * limit.d - limit.b
    wait = missing > 0 and ceil(missing / limit.c) or 0
    has = floor((limit.b - spent) / limit.d)
  else
    local _, finish = periodOf(now, limit.c)
    wait = spent + need > limit.b and finish - now or 0
    has = limit.b - spent
  end
  if need > 0 and wait > longest then denied, longest = i, wait end
  left = left and min(left, has) or has
end
if op == 'peek' then return answer(denied, 0) end
local granted = 0
if denied == 0 then
  local ahead = min(tonumber(ARGV[9]), floor(left / tonumber(ARGV[10])))
  granted = max(need, ahead - ahead % 1000)
  for _, limit in ipairs(limits) do
    local slot = state[limit.name]
    slot.spent = min(MAX, slot.spent + granted * (limit.kind == 'b' and limit.d or 1))
  end
end
save()
if changed then redis.call('PUBLISH', channel, caller .. ' change ' .. key) end
return answer(denied, granted)
`;
