import { CALENDAR } from "./calendar.js";

/** Fields of a key's hash at most: a few per limit, and one for each replica that corrected it of late. */
const MAX_FIELDS = 1024;

/** How long, in ms, tokens granted ahead can stay out: the longest lease, until a sweep after it, and the longest deadline. */
export const LONGEST_OUT_MS = 5000 * 1.25 + 10_000;

/** How long, in ms, a correction is known by its number, so that one that is sent again counts once. */
export const REMEMBERED_MS = 60_000;

/**
 * The protocol of one key, in Lua, run by Redis in one step. It counts in the same whole units as the engines
 * (`docs/decisions/exact-buckets.md`), which doubles hold exactly, so that all three agree to the last unit.
 *
 * A key is one hash. `@t` is the instant up to which it is refilled, `@e` its *epoch*, `@x` the epoch that a reset ended,
 * `@c:<replica>` the number of that replica's last correction and when it came, which is dropped when it can't be sent
 * again any more. What is spent of a limit stands under the limit's name, and under `@r:<limit>` the rule that it was
 * counted by: `b <capacity> <perMs> <perMilli>`, or `q <limit> <anchor day, 0 for days>`. `@h:<limit>` is the largest
 * amount of a quota that the epoch was told of, if it was. Until `@g` tokens that were granted ahead may still come back;
 * `@w` is the replica that holds them, or `*` if there are several. The hash is gone a minute after every bucket is full
 * again, or a day after a quota's period.
 *
 * Amounts are told with the rule that they were counted by: of a bucket, what is charged or given back is the same fraction of
 * the rule that is stored. A hash that holds anything but this, or more than {@link MAX_FIELDS}, is no hash of ours.
 *
 * A limit's name stands for one *kind*: bucket, day quota or month quota. While anything is spent of another kind under
 * that name, a command is refused, or each of two apps would take the other's count for its own, or for none.
 *
 * An epoch begins when the hash is made and when another server is found to serve it. What a caller knows from an earlier
 * one heals what the server has lost: a bucket keeps the larger amount, a quota adds to the largest amount that anybody
 * knew what was spent since.
 *
 * One call carries the commands of many keys, one each, as long as one server holds them all. Arguments: server, channel,
 * caller, how many tiers; per tier how many limits, and per limit name, rule and a start (see `wire.ts`).
 * Then per key operation, now (empty for the server's own time), tier, epoch and instant of what the caller knows (both may
 * be empty), four numbers of the operation, and per limit what the caller knows to be spent and, for `adjust`, the
 * correction in thousandths.
 *
 * - `take`: need, want, divisor, how long in ms what is granted beyond the need may stay out. Grants `need` or denies; and in
 *   whole tokens beyond it up to `want` in all, at most the divisor's part of what is left. Others are asked to give back
 *   what lies idle if they hold tokens and the wait would be longer than these may stay out.
 * - `peek`: need. Says what `take` would, and writes nothing.
 * - `adjust`: instant of the decision, flags (1: quotas only, 2: tell the others, 4: sent before, 8: unused, 16: of an outage), number
 *   of the correction or empty. Who has lost writes may have lost the number of a correction whose effect others know and heal:
 *   what is sent again into another epoch is charged once too often rather than given back twice. A bucket that has
 *   run full since tokens were taken has refilled them: given back whole, they would pay for what others took later.
 * - `reset`.
 * - `leave`: what the caller has corrected was acknowledged, and it will not correct anything any more.
 *
 * Answers per key with the limit that denies (0: none), what was granted, the key's time, by how much that is ahead of the
 * server's (after a clock has jumped), the epoch, for how many ms tokens that others hold may still come back, and what is
 * spent per limit; or with an error: `FOREIGN <type>`, if what is stored under its name is no such hash, or `KIND <limit>,<kind
 * that was asked for>,<kind that is stored>`. What fails of one key fails of no other. No command that may be refused follows a write
 * but as one whose refusal is noted: behind the answers stands the first of these, if any.
 */
export const SCRIPT = `
local MAX = 4503599627370496
local MAX_FIELDS = ${MAX_FIELDS}
local REMEMBERED, LONGEST = ${REMEMBERED_MS}, ${LONGEST_OUT_MS}
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local server, channel, caller = ARGV[1], ARGV[2], ARGV[3]
if server == 'cluster' then server = string.sub(redis.call('CLUSTER', 'MYID'), 1, 12) end
local time = redis.call('TIME')
local present = time[1] * 1000 + floor(time[2] / 1000)
local epochs = server .. ':'
local counter = '@c:' .. caller

-- The first command that was refused after something was written: what it should have done is not worth the count.
local refused
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err and not refused then refused = answer.err end
end

-- A number as it was written here; nil for anything else, such as 'inf' or '0x10', which Lua would take for one.
local function count(text)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  return number and number <= MAX and number or nil
end

-- Rules by their text, so that those that are the same are one; nil for a text that is none.
local rules = {}
local function ruleOf(text)
  local rule = rules[text]
  if not rule then
    local kind, b, c, d = string.match(text, '^([bq]) (%d+) (%d+) ?(%d*)$')
    b, c = count(b), count(c)
    if not (b and c) then return nil end
    -- Of a bucket capacity, perMs and perMilli; of a quota limit and anchor day.
    rule = {text = text, isBucket = kind == 'b', b = b, c = c, d = count(d) or 1}
    if rule.isBucket and (b < 1 or c < 1 or rule.d < 1 or b % rule.d > 0) or not rule.isBucket and c > 31 then return nil end
    rule.kind = rule.isBucket and 'bucket' or rule.c == 0 and 'day quota' or 'month quota'
    rules[text] = rule
  end
  return rule
end

local at = 5
local tiers = {}
for t = 1, tonumber(ARGV[4]) do
  local limits = {}
  for i = 1, tonumber(ARGV[at]) do
    limits[i] = {name = ARGV[at + 1], rule = ruleOf(ARGV[at + 2]), initial = tonumber(ARGV[at + 3])}
    at = at + 3
  end
  tiers[t] = limits
  at = at + 1
end

${CALENDAR}
-- The whole part of amount * to / from, and whether there is a rest; exactly: bit by bit, since the product has up to 103 bits.
local function scaled(amount, from, to)
  local quotient, rest, bit = 0, 0, MAX
  while bit >= 1 do
    quotient, rest = quotient * 2, rest * 2
    if amount >= bit then
      amount = amount - bit
      rest = rest + to
    end
    local times = floor(rest / from)
    quotient, rest = quotient + times, rest - times * from
    if quotient > MAX then return MAX, false end
    bit = bit / 2
  end
  return quotient, rest > 0
end

-- What was spent of a bucket in the units of another: the same fraction of its capacity, rounded up.
local function converted(spent, from, to)
  if from == to then return spent end
  local whole, rest = scaled(spent, from, to)
  return min(MAX, rest and whole + 1 or whole)
end

-- Thousandths of a token under one bucket's rule in units of another: what is charged is rounded up, what is given back down.
local function unitsOf(milli, from, to)
  if from == to then return milli * to.d end
  local whole, rest = scaled(min(MAX, math.abs(milli)), from.b / from.d, to.b)
  if milli < 0 then return -whole end
  return rest and whole + 1 or whole
end

-- Under the rules of the caller's tier: a bucket keeps its fraction, a quota what was used of the same period.
local function enter(state, limits, before, now)
  local changed = false
  for i = 1, #limits do
    local limit = limits[i]
    local slot, rule = state[limit.name], limit.rule
    if not slot then
      state[limit.name] = {rule = rule, spent = limit.initial, healed = 0}
    elseif slot.rule ~= rule then
      changed = true
      if rule.isBucket then
        slot.spent = converted(slot.spent, slot.rule.b, rule.b)
      elseif slot.rule.c ~= rule.c then
        local same = slot.was and (periodOf(before, slot.rule.c)) == (periodOf(now, rule.c))
        slot.spent = same and slot.was or 0
        slot.healed = same and slot.healed or 0
      end
      slot.rule = rule
    end
  end
  return changed
end

-- What the caller knows from an epoch that is over, by the rules of its tier.
local function heal(state, limits, now, knownAt, first)
  for i = 1, #limits do
    local rule, amount = limits[i].rule, tonumber(ARGV[first + 2 * i])
    local slot = state[limits[i].name]
    if amount and slot then
      if rule.isBucket then
        local left = max(0, amount - max(0, now - knownAt) * rule.c)
        slot.spent = max(slot.spent, converted(left, rule.b, slot.rule.b))
      elseif (periodOf(min(knownAt, now), rule.c)) == (periodOf(now, slot.rule.c)) and amount > slot.healed then
        slot.spent = min(MAX, slot.spent + amount - slot.healed)
        slot.healed = amount
      end
    end
  end
end

local function save(key, hash, state, now, asked, epoch, number, grants)
  local fields, n, ttl = {'HSET', key, '@t', now}, 4, MINUTE
  local function set(field, value)
    fields[n + 1], fields[n + 2] = field, value
    n = n + 2
  end
  if hash['@e'] ~= epoch then set('@e', epoch) end
  for name, slot in pairs(state) do
    local rule = slot.rule
    set(name, slot.spent)
    if slot.stored ~= rule then set('@r:' .. name, rule.text) end
    if rule.isBucket then
      ttl = max(ttl, ceil(slot.spent / rule.c) + MINUTE)
    else
      local _, finish = periodOf(now, rule.c)
      if slot.spent > 0 then ttl = max(ttl, finish - asked + DAY) end
      if slot.healed ~= (slot.told or 0) then set('@h:' .. name, slot.healed) end
    end
  end
  if number then set(counter, string.format('%.0f %.0f', number, asked)) end
  if grants then
    set('@g', hash['@g'])
    set('@w', hash['@w'])
  end
  redis.call(unpack(fields))
  local old = {}
  for field, value in pairs(hash) do
    if string.sub(field, 1, 3) == '@c:' and field ~= counter then
      local at = count(string.match(value, ' (%d+)$'))
      if not at or math.abs(asked - at) > REMEMBERED then old[#old + 1] = field end
    end
  end
  if #old > 0 then try('HDEL', key, unpack(old)) end
  try('PEXPIRE', key, ttl)
end

local function answer(state, limits, status, granted, now, lag, epoch, back)
  local reply = {status, granted, now, lag, epoch, back}
  for i = 1, #limits do
    local rule, slot = limits[i].rule, state[limits[i].name]
    local spent = slot and slot.spent or limits[i].initial
    if slot and slot.rule ~= rule then
      if rule.isBucket then
        spent = converted(spent, slot.rule.b, rule.b)
      elseif (periodOf(now, slot.rule.c)) ~= (periodOf(now, rule.c)) then
        spent = 0
      end
    end
    reply[6 + i] = spent
  end
  return reply
end

local function foreign(key)
  return {err = 'FOREIGN ' .. redis.call('TYPE', key).ok}
end

-- For how long tokens that others than the caller hold may still come back.
local function outstanding(hash, asked)
  local out = (count(hash['@g']) or 0) - asked
  -- Of a clock that has jumped, if it is longer than anything stays out.
  return hash['@w'] ~= caller and out <= LONGEST and max(0, out) or 0
end

-- One command, whose arguments begin at that place.
local function execute(key, at, limits)
  local op, knownEpoch, knownAt = ARGV[at], ARGV[at + 3], tonumber(ARGV[at + 4])
  local asked = tonumber(ARGV[at + 1]) or present
  local flat = redis.pcall('HLEN', key)
  if type(flat) == 'number' and flat <= MAX_FIELDS then flat = redis.pcall('HGETALL', key) end
  local isForeign = type(flat) == 'number' or flat.err and string.find(flat.err, 'WRONGTYPE', 1, true)
  if not isForeign and flat.err then return flat end

  local hash, state = {}, {}
  for i = 1, isForeign and 0 or #flat, 2 do
    local name = flat[i]
    if string.byte(name) == 64 then hash[name] = flat[i + 1] else state[name] = {was = count(flat[i + 1])} end
  end
  isForeign = isForeign or not (count(hash['@t'] or '0') and count(hash['@g'] or '0'))
  if isForeign and op ~= 'reset' then return foreign(key) end

  local before = count(hash['@t']) or asked
  local now = max(asked, before)
  if op == 'reset' then now = asked end
  local lag = now - asked
  local epoch, ended = hash['@e'] or '', hash['@x']
  local fresh = string.sub(epoch, 1, #epochs) ~= epochs
  if fresh then epoch = epochs .. string.format('%.0f', now) end

  if op == 'leave' then
    if hash[counter] then redis.call('HDEL', key, counter) end
    return {0, 0, now, lag, '', 0}
  end
  if op == 'reset' then
    redis.call('DEL', key)
    local ending = hash['@e']
    if ending then
      if epoch == ending then epoch = epoch .. '+' end
      try('HSET', key, '@e', epoch, '@x', ending)
      try('PEXPIRE', key, DAY)
    end
    try('PUBLISH', channel, caller .. ' reset ' .. key)
    return {0, 0, now, 0, epoch, 0}
  end

  -- Everything that the key holds, brought to the present under the rules that it was under.
  for name, slot in pairs(state) do
    local rule = ruleOf(hash['@r:' .. name] or '')
    if not (rule and slot.was) then return foreign(key) end
    slot.rule, slot.stored = rule, rule
    if rule.isBucket then
      slot.spent = max(0, slot.was - (now - before) * rule.c)
    else
      local rolls = before < periodOf(now, rule.c)
      slot.told = count(hash['@h:' .. name] or '0')
      if not slot.told then return foreign(key) end
      slot.spent = rolls and 0 or slot.was
      slot.healed = rolls and 0 or fresh and slot.was or slot.told
    end
  end

  for i = 1, #limits do
    local name, rule = limits[i].name, limits[i].rule
    local slot = state[name]
    if slot and slot.rule.kind ~= rule.kind then
      if slot.spent > 0 then return {err = 'KIND ' .. name .. ',' .. rule.kind .. ',' .. slot.rule.kind} end
      state[name] = {rule = rule, spent = limits[i].initial, healed = 0, told = slot.told}
    end
  end

  -- A reset ends an epoch for good.
  local heals = knownAt and knownEpoch ~= '' and knownEpoch ~= epoch and knownEpoch ~= ended

  if op == 'adjust' then
    local madeAt, flags, number = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
    local last = count(string.match(hash[counter] or '', '^(%d+) ')) or 0
    if number and number <= last then return answer(state, limits, 0, 0, now, lag, epoch, 0) end
    local unused, away = flags % 16 >= 8, flags >= 16
    local lapsed = flags % 8 >= 4 and knownEpoch ~= epoch
    local charges, knows = false, false
    for i = 1, #limits do
      knows = knows or (knownEpoch ~= '' and ARGV[at + 7 + 2 * i] ~= '')
      charges = charges or tonumber(ARGV[at + 8 + 2 * i]) > 0
    end
    if not next(state) then
      if not charges and not knows then return {0, 0, now, lag, '', 0} end
      enter(state, limits, before, now)
    end
    for i = 1, #limits do
      local name, rule = limits[i].name, limits[i].rule
      local isTold = heals and ARGV[at + 7 + 2 * i] ~= '' or away and tonumber(ARGV[at + 8 + 2 * i]) > 0
      if isTold and not state[name] then state[name] = {rule = rule, spent = limits[i].initial, healed = 0} end
    end
    if heals then heal(state, limits, now, knownAt, at + 7) end
    for i = 1, #limits do
      local limit, delta = limits[i], tonumber(ARGV[at + 8 + 2 * i])
      local slot = state[limit.name]
      if slot then
        local rule = slot.rule
        local applies = flags % 2 == 0
        if not rule.isBucket then applies = (periodOf(now, rule.c)) == (periodOf(madeAt, limit.rule.c)) end
        if applies and not (lapsed and delta < 0) then
          local change = rule.isBucket and unitsOf(delta, limit.rule, rule) or delta
          if unused and change < 0 and rule.isBucket then
            change = min(0, change + max(0, now - madeAt) * rule.c)
          end
          slot.spent = min(MAX, max(0, slot.spent + change))
        end
      end
    end
    save(key, hash, state, now, asked, epoch, number)
    if flags % 4 >= 2 then try('PUBLISH', channel, caller .. ' change ' .. key) end
    return answer(state, limits, 0, 0, now, lag, epoch, 0)
  end

  local need = tonumber(ARGV[at + 5])
  local changed = enter(state, limits, before, now)
  if heals then heal(state, limits, now, knownAt, at + 7) end
  local denied, longest, left = 0, 0, nil
  for i = 1, #limits do
    local rule, spent = limits[i].rule, state[limits[i].name].spent
    local wait, has
    if rule.isBucket then
      local missing = spent + need * rule.d - rule.b
      wait = missing > 0 and ceil(missing / rule.c) or 0
      has = floor((rule.b - spent) / rule.d)
    else
      local _, finish = periodOf(now, rule.c)
      wait = spent + need > rule.b and finish - now or 0
      has = rule.b - spent
    end
    if need > 0 and wait > longest then denied, longest = i, wait end
    left = left and min(left, has) or has
  end
  -- A wait that what others hold may end is not told as if they did not.
  local back = denied > 0 and outstanding(hash, asked) or 0
  if back >= longest + lag then back = 0 end
  if op == 'peek' then return answer(state, limits, denied, 0, now, lag, epoch, back) end
  local granted, grants = 0, false
  if denied == 0 then
    local ahead = min(tonumber(ARGV[at + 6]), floor(left / tonumber(ARGV[at + 7]))) - need
    ahead = max(0, ahead - ahead % 1000)
    granted = need + ahead
    grants = ahead > 0
    if grants then
      hash['@w'] = outstanding(hash, asked) > 0 and '*' or caller
      hash['@g'] = string.format('%.0f', max(asked + tonumber(ARGV[at + 8]), hash['@w'] == '*' and count(hash['@g']) or 0))
    end
    for i = 1, #limits do
      local slot = state[limits[i].name]
      slot.spent = min(MAX, slot.spent + granted * limits[i].rule.d)
    end
  end
  save(key, hash, state, now, asked, epoch, nil, grants)
  if changed then try('PUBLISH', channel, caller .. ' change ' .. key) end
  if back > 0 then try('PUBLISH', channel, caller .. ' return ' .. key) end
  return answer(state, limits, denied, granted, now, lag, epoch, back)
end

local replies = {}
for k = 1, #KEYS do
  local limits = tiers[tonumber(ARGV[at + 2])]
  local done, reply = pcall(execute, KEYS[k], at, limits)
  if not done and type(reply) ~= 'table' then reply = {err = tostring(reply)} end
  replies[k] = reply
  at = at + 9 + 2 * #limits
end
if refused then replies[#KEYS + 1] = refused end
return replies
`;
