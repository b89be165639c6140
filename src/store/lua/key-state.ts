import { CALENDAR, DAY, LASTING, MINUTE } from "./calendar.js";
import { PLACES } from "./places.js";
import { MAX, RULES } from "./rules.js";

/** Fields of a key's hash at most: a few per limit, and one for each lane of a replica that corrected it of late. */
const MAX_FIELDS = 1024;

/** How long, in ms, tokens granted ahead can stay out: the longest lease, until a sweep after it, and the longest deadline. */
export const LONGEST_OUT_MS = 5000 * 1.25 + 10_000;

/** How long, in ms, a correction is known by its sequence, so that one that is sent again counts once. */
export const REMEMBERED_MS = 60_000;

/**
 * The state of one key in Lua, to stand in a script behind `server`, `channel`, `caller` and functions of its `math`.
 *
 * A key is one hash. `@t` is the instant up to which it is refilled, `@e` its *epoch*, `@x` the epoch that a reset ended,
 * `@c:<replica>` the sequence of that replica's last correction and when it came, which is dropped when it can't be sent
 * again any more. A replica that is several threads is named by its *lane* there, `<replica>.<lane>` but for the first. What
 * is spent of a limit stands under the limit's name, and under `@r:<limit>` the rule that it was
 * counted by: `b <capacity> <perMs> <perMilli>`, or `q <limit> <span>` as `rules.ts` has them. `@b:<limit>` is the instant at which the
 * block of a bucket ends and what is spent then; it holds if it was to come when the hash was last written. What stands under the
 * limit's name is then the debt that lets nothing pass for as long, for scripts that know no blocks. `@h:<limit>` is the largest
 * amount of a quota that was restored in the epoch, if any was. `@k:<limit>` is what was granted of a quota, how much of
 * that is kept, when the period began in which that is so, and when the last of it was granted; under the quota's name stands
 * what is used, of which the first is taken off to have what is spent: below 0 if less is used. Until `@g` tokens that were granted ahead may still come
 * back; `@w` is the lane that got them, or `*` if several may give them back. The hash is gone a minute after every bucket is
 * full again or a place is over, or a day after a quota's period; while something granted is kept, and of a quota that never
 * ends, it stays. What stands under `@p:<limit>` tells `places.ts`. One that holds anything but this, or more than
 * {@link MAX_FIELDS} fields, is
 * no hash of ours.
 *
 * An epoch begins when the hash is made and when another server is found to serve it. What a caller knows from an earlier
 * one restores what the server has lost: a bucket keeps the larger amount, a quota adds to the largest amount that anybody
 * knew what was spent since.
 *
 * - `load(key)`: what is stored; `advance(state, asked)`: the same at an instant, under the rules that it is under.
 * - `bringTo(state, limits)`: under the rules of a tier. `restore(state, command)`: with what the caller knows.
 * - `keptOf(slot, capacity)`: what of it would be left of a quota's grants, were the period over.
 * - `save(state, command, grants)`, and `answer(state, limits, denied, granted, back)` of where it stands.
 */
export const KEY_STATE = `
${RULES}
${CALENDAR}
${PLACES}
local epochs = server .. ':'

-- One of the caller's lanes, by its number.
local function laneOf(number)
  return caller .. (number ~= '0' and '.' .. number or '')
end

-- The first command that was refused after something was written: what it should have done is not worth the count.
local refused
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err and not refused then refused = answer.err end
end

-- What is counted of a limit, in the units of its rule, and what was stored. A table that grows is slow, so none does.
local function slotOf(rule, spent, was)
  return {
    rule = rule, spent = spent, initial = 0, restored = 0, was = was, stored = false, storedRestored = 0,
    granted = 0, kept = 0, grantedBefore = 0, keptBefore = 0, grantedAt = 0,
  }
end

-- What of a quota's grants is kept and not used; the quota itself is used first.
local function keptOf(slot, capacity)
  return min(slot.kept, max(0, capacity - slot.spent))
end

-- Begins a period after one that ended under a rule with so much used.
local function carry(slot, capacity, used, granted, kept)
  kept = min(kept, max(0, capacity + granted - used))
  slot.granted, slot.kept, slot.spent = kept, kept, 0 - kept
end

-- What a bucket's slot has spent under a limit: the same fraction, and of a block the time that is left. Where a denial blocks
-- nobody, that is a debt.
local function carried(slot, limit)
  local rule, from, spent = limit.rule, slot.rule, slot.spent
  if spent <= ${MAX} or rule.capacity == 0 then
    return rule == from and spent or converted(spent, from, rule, limit.initial)
  end
  local left = ceil((spent - ${MAX}) / from.perMs)
  if limit.block > 0 then return blockedFor(left, rule) end
  return min(${MAX}, rule.capacity + left * rule.perMs)
end

-- Fields of the hash's own begin with @; the others are slots, by the name of their limit. The second result is an error.
local function load(key)
  local flat = redis.pcall('HLEN', key)
  if type(flat) == 'number' and flat <= ${MAX_FIELDS} then flat = redis.pcall('HGETALL', key) end
  local isForeign = type(flat) == 'number' or flat.err and string.find(flat.err, 'WRONGTYPE', 1, true)
  if not isForeign and flat.err then return nil, flat end
  local own, slots, hasBlocks = {}, {}, false
  for i = 1, isForeign and 0 or #flat, 2 do
    local name = flat[i]
    if string.byte(name) == 64 then
      own[name] = flat[i + 1]
      hasBlocks = hasBlocks or string.byte(name, 2) == 98 -- '@b'
    else
      slots[name] = slotOf(false, 0, count(flat[i + 1]))
    end
  end
  isForeign = isForeign or not (count(own['@t'] or '0') and count(own['@g'] or '0'))
  return {
    key = key, own = own, slots = slots, hasBlocks = hasBlocks, isForeign = isForeign, asked = 0, before = 0, now = 0, epoch = '',
    places = {},
  }
end

-- The epoch at an instant, and whether it begins there.
local function epochAt(state, now)
  local epoch = state.own['@e'] or ''
  local isOurs = string.sub(epoch, 1, #epochs) == epochs and string.find(epoch, '^%d+%+*$', #epochs + 1)
  if isOurs then return epoch, false end
  return epochs .. string.format('%.0f', now), true
end

-- Returns whether all of it could be read.
local function advance(state, asked)
  local own, before = state.own, count(state.own['@t']) or asked
  local now = max(asked, before)
  local epoch, begins = epochAt(state, now)
  state.asked, state.before, state.now, state.epoch = asked, before, now, epoch
  readPlaces(state)
  for name, slot in pairs(state.slots) do
    local rule = ruleOf(own['@r:' .. name] or '')
    slot.storedRestored = count(own['@h:' .. name] or '0')
    if not (rule and slot.was and slot.storedRestored) then return false end
    slot.rule, slot.stored = rule, rule
    if rule.isBucket then
      local block = state.hasBlocks and own['@b:' .. name]
      if block then
        local ends, initial = string.match(block, '^(%d+) (%d+)$')
        ends, initial = count(ends), count(initial)
        if not (ends and initial) then return false end
        if ends > before then slot.was, slot.initial = blockedFor(ends - before, rule), initial end
      end
      slot.spent = refilled(slot.was, now - before, rule, slot.initial)
    else
      local start = periodOf(now, rule)
      local rolls = before < start
      slot.spent = rolls and 0 or slot.was
      slot.restored = rolls and 0 or begins and slot.was or slot.storedRestored
      local text = own['@k:' .. name]
      if text then
        local granted, kept, since, last = string.match(text, '^(%d+) (%d+) (%d+) (%d+)$')
        granted, kept, since, last = count(granted), count(kept), count(since), count(last)
        if not (granted and kept and since and last) then return false end
        slot.grantedBefore, slot.keptBefore, slot.grantedAt = granted, kept, last
        if since == start then
          slot.granted, slot.kept, slot.spent = granted, kept, slot.spent - granted
        else
          -- Where a script that knows no grants has begun the period, what was used in the one before is not known.
          carry(slot, rule.capacity, rolls and slot.was or 0, granted, kept)
          if not rolls then slot.spent = slot.spent + slot.was end
        end
      end
    end
  end
  return true
end

-- A bucket keeps its fraction, a quota what was used of the same period. Returns whether a rule has changed.
local function bringTo(state, limits)
  local changed, slots = false, state.slots
  for i = 1, #limits do
    local limit = limits[i]
    local slot, rule = slots[limit.name], limit.rule
    if rule.isPlaces then
      -- Places stay what they are.
    elseif not slot then
      slots[limit.name] = slotOf(rule, limit.initial)
    elseif rule.isBucket then
      changed = changed or slot.rule ~= rule
      slot.spent, slot.initial, slot.rule = carried(slot, limit), limit.initial, rule
    elseif slot.rule ~= rule then
      changed = true
      if slot.rule.span ~= rule.span then
        local same = slot.was and (periodOf(state.before, slot.rule)) == (periodOf(state.now, rule))
        if same then
          slot.granted, slot.kept, slot.spent = slot.grantedBefore, slot.keptBefore, slot.was - slot.grantedBefore
        else
          carry(slot, slot.rule.capacity, slot.was or 0, slot.grantedBefore, slot.keptBefore)
        end
        slot.restored = same and slot.restored or 0
      end
      slot.rule = rule
    end
  end
  return changed
end

-- Whether a snapshot is of an epoch that is over. A reset ends one for good.
local function mayRestore(state, snapshot)
  return snapshot and snapshot.epoch ~= state.epoch and snapshot.epoch ~= state.own['@x']
end

-- What the caller knows, by the rules of its tier, which may be another than the one that the key is under.
local function restore(state, command)
  local now, limits, snapshot = state.now, command.limits, command.snapshot
  if not mayRestore(state, snapshot) then return end
  for i = 1, #limits do
    local rule, initial, amount = limits[i].rule, limits[i].initial, snapshot.spent[i]
    local slot = state.slots[limits[i].name]
    if amount and slot and not rule.isPlaces then
      if rule.isBucket then
        local left = refilled(amount, max(0, now - snapshot.at), rule, initial)
        local isBlock = left > ${MAX} and slot.rule.capacity > 0
        if isBlock then
          left = blockedFor(ceil((left - ${MAX}) / rule.perMs), slot.rule)
        else
          left = converted(left, rule, slot.rule, 0)
        end
        if left > slot.spent then
          slot.spent = left
          if isBlock then slot.initial = converted(initial, rule, slot.rule, 0) end
        end
      elseif (periodOf(min(snapshot.at, now), rule)) == (periodOf(now, slot.rule)) then
        -- Who has heard of all that was granted here tells what is used less of that.
        local used = min(${MAX}, amount + (snapshot.at >= slot.grantedAt and slot.granted or 0))
        if used > slot.restored then
          slot.spent = min(${MAX}, slot.spent + used - slot.restored)
          slot.restored = used
        end
      end
    end
  end
end

-- What the hash has of grants is new if there are some. The lane's own sequence is kept however old it is.
local function save(state, command, grants)
  local key, own, asked, now = state.key, state.own, state.asked, state.now
  local counter, sequence = '@c:' .. command.lane, command.sequence
  local fields, ttl, old = {'HSET', key, '@t', now}, ${MINUTE}, {}
  local n = #fields
  if own['@e'] ~= state.epoch then fields[n + 1], fields[n + 2], n = '@e', state.epoch, n + 2 end
  for name, slot in pairs(state.slots) do
    local rule, spent, left = slot.rule, slot.spent, 0
    if spent > ${MAX} then
      left = spent - ${MAX}
      fields[n + 1] = '@b:' .. name
      fields[n + 2], n = string.format('%.0f %.0f', now + left / rule.perMs, slot.initial), n + 2
      spent = rule.capacity + left
    elseif state.hasBlocks and own['@b:' .. name] then
      old[#old + 1] = '@b:' .. name
    end
    fields[n + 1], fields[n + 2], n = name, min(${MAX}, spent + slot.granted), n + 2
    if slot.stored ~= rule then fields[n + 1], fields[n + 2], n = '@r:' .. name, rule.text, n + 2 end
    if rule.isBucket then
      if spent > 0 then ttl = max(ttl, ceil((left > 0 and left + slot.initial or spent) / rule.perMs) + ${MINUTE}) end
    else
      local start, finish = periodOf(now, rule)
      if slot.spent > 0 or slot.granted > 0 then ttl = max(ttl, min(${LASTING}, finish - asked + ${DAY})) end
      if keptOf(slot, rule.capacity) > 0 then ttl = ${LASTING} end
      if slot.granted > 0 then
        local text = string.format('%.0f %.0f %.0f %.0f', slot.granted, slot.kept, start, slot.grantedAt)
        fields[n + 1], fields[n + 2], n = '@k:' .. name, text, n + 2
      end
    end
    if slot.granted == 0 and own['@k:' .. name] then old[#old + 1] = '@k:' .. name end
    -- Of a bucket, too, whose name once stood for a quota.
    if slot.restored ~= slot.storedRestored then
      fields[n + 1], fields[n + 2], n = '@h:' .. name, slot.restored, n + 2
    end
  end
  for name, places in pairs(state.places) do
    local text, last = textOf(places)
    if text ~= (own['@p:' .. name] or '') then fields[n + 1], fields[n + 2], n = '@p:' .. name, text, n + 2 end
    ttl = max(ttl, last - now + ${MINUTE})
  end
  if sequence then fields[n + 1], fields[n + 2], n = counter, string.format('%.0f %.0f', sequence, asked), n + 2 end
  if grants then fields[n + 1], fields[n + 2], fields[n + 3], fields[n + 4] = '@g', own['@g'], '@w', own['@w'] end
  redis.call(unpack(fields))
  for field, value in pairs(own) do
    if string.sub(field, 1, 3) == '@c:' and field ~= counter then
      local at = count(string.match(value, ' (%d+)$'))
      if not at or math.abs(asked - at) > ${REMEMBERED_MS} then old[#old + 1] = field end
    end
  end
  if #old > 0 then try('HDEL', key, unpack(old)) end
  try('PEXPIRE', key, ttl)
end

-- For how long tokens that others got than the lane that asks may still come back.
local function outstanding(state, command)
  local own = state.own
  local out = (count(own['@g']) or 0) - state.asked
  -- Of a clock that has jumped, if it is longer than anything stays out.
  return own['@w'] ~= command.lane and out <= ${LONGEST_OUT_MS} and max(0, out) or 0
end

local function answer(state, limits, denied, granted, back)
  local now = state.now
  local reply, credits, kept = {denied, granted, now, now - state.asked, state.epoch, back}, false, 0
  for i = 1, #limits do
    local rule, slot = limits[i].rule, state.slots[limits[i].name]
    local spent = slot and slot.spent or limits[i].initial
    if rule.isPlaces then
      spent = amountOf(state, limits[i].name)
    elseif slot and rule.isBucket then
      spent = carried(slot, limits[i])
    elseif slot and slot.rule ~= rule and (periodOf(now, slot.rule)) ~= (periodOf(now, rule)) then
      spent = 0 - keptOf(slot, slot.rule.capacity)
    end
    reply[6 + i] = spent
    credits = credits or slot and slot.granted > 0
  end
  -- Only where there are some, so that nothing is said of them to nearly all.
  if not credits then return reply end
  for i = 1, #limits do
    local slot = state.slots[limits[i].name]
    reply[6 + #limits + i] = slot and slot.granted or 0
    if slot and slot.granted > 0 and keptOf(slot, slot.rule.capacity) > 0 then kept = 1 end
  end
  reply[7 + 2 * #limits] = kept
  return reply
end
`;
