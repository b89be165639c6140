import { MAX_TIMEOUT_MS } from "../../engine/concurrency.js";
import { DAY } from "./calendar.js";
import { KEY_STATE } from "./key-state.js";
import { MAX } from "./rules.js";

/**
 * The protocol of one key, in Lua, run by Redis in one step. What a key is stands in `key-state.ts`.
 *
 * Amounts are told with the rule that they were counted by: of a bucket, what is charged or given back is the same fraction of
 * the rule that is stored.
 *
 * A limit's name stands for one *kind*: bucket, or quota of one period. While anything is spent of another kind under
 * that name, a command is refused, or each of two apps would take the other's count for its own, or for none.
 *
 * One call carries the commands of many keys, one each, as long as one server holds them all. Arguments: server, channel,
 * caller, how many tiers; per tier how many limits, and per limit name, rule, a start, and the units of a block, 0 if a denial begins
 * none (see `wire.ts`).
 * Then per key operation, now (empty for the server's own time), tier, lane, and the epoch of what the caller knows, empty
 * if nothing; after an epoch its instant, and per limit what was spent, empty where that is not known. A lane is a thread of
 * the caller: it numbers its corrections by itself, and what a dead one has left is sent under its lane by another; and it
 * can't tell what another has got, and has yet to hear of. Then by operation:
 *
 * - `take`: need, which is one number of every limit, or empty and one number per limit behind it; want, divisor, how long in ms
 *   what is granted beyond the need may stay out, 1 if other lanes of the caller may give that back, a number for the place that is
 *   taken of each limit of concurrency of which something is needed, and which replicas there were: an instant and their names, by
 *   a space each, empty if that is not known. Grants `need` or denies,
 *   which blocks buckets that block and have no room, unless what others hold may come back first; and in whole tokens beyond it
 *   up to `want` in all, at most the divisor's part of what is left, but nothing beyond a need per limit, of which it tells the
 *   largest. Others are asked to give back what lies idle if they hold tokens and the wait would be
 *   longer than these may stay out.
 * - `peek`: need, and the replicas as of a take. Says what `take` would, and writes nothing.
 * - `adjust`: instant of the decision, words, sequence or empty, and per limit thousandths. The words are of `quotas` only,
 *   `tell` the others, `retry`: sent before, `unused`, and `outage`: admitted while the store was away. Who has lost writes
 *   may have lost the sequence of a correction whose effect others know and restore: what is sent again into another epoch
 *   is charged once too often rather than given back twice. A bucket that has run full since tokens were taken has refilled
 *   them: given back whole, they would pay for what others took later. A bucket that is blocked stays as it is.
 * - `grant`: which limit of the tier, from 1, thousandths, and 1 if they are kept. The lane is the grant's own, so that one
 *   that is sent again counts once; the others are told. Touches no other limit. Grants nothing if that is more than can be counted.
 * - `release`: a number, under which the lane has taken places; answers for how many limits one was freed.
 * - `hold`: a number and an instant, under which and at which the lane has taken places of which this server does not know.
 * - `reset`.
 * - `leave`: what the lane has corrected was acknowledged, and it will not correct anything any more.
 *
 * Answers per key with the limit that denies (0: none), what was granted, the key's time, by how much that is ahead of the
 * server's (after a clock has jumped), the epoch, for how many ms tokens that others hold may still come back, and what is
 * spent per limit; if anything was granted then also how much, per limit, and 1 if something of it is kept; or with an error: `FOREIGN <type>`, if what is stored under its name is no such hash, or `KIND <limit>,<kind
 * that was asked for>,<kind that is stored>`. What fails of one key fails of no other. No command that may be refused follows a write
 * but as one whose refusal is noted: behind the answers stands the first of these, if any.
 */
export const SCRIPT = `
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local server, channel, caller = ARGV[1], ARGV[2], ARGV[3]
if server == 'cluster' then server = string.sub(redis.call('CLUSTER', 'MYID'), 1, 12) end
local time = redis.call('TIME')
local present = time[1] * 1000 + floor(time[2] / 1000)
${KEY_STATE}
-- As many arguments from that place on, as numbers; nil where one is empty. The table is made at once: one that grows is slow.
local function numbers(at, n)
  local list = {unpack(ARGV, at, at + n - 1)}
  for i = 1, n do list[i] = tonumber(list[i]) end
  return list
end

-- What is needed of every limit, or of each, and where the next argument stands.
local function needAt(at, n)
  local need = tonumber(ARGV[at])
  if need then return need, at + 1 end
  return numbers(at + 1, n), at + 1 + n
end

local function neededOf(need, i)
  return type(need) == 'table' and need[i] or need
end

-- The command whose arguments begin at that place, and where the next begin.
local tiers = {}
local function decode(at)
  local op, now, limits = ARGV[at], tonumber(ARGV[at + 1]) or present, tiers[tonumber(ARGV[at + 2])]
  local lane, epoch = laneOf(ARGV[at + 3]), ARGV[at + 4]
  local n, snapshot = #limits, nil
  at = at + 5
  if epoch ~= '' then
    snapshot = {epoch = epoch, at = tonumber(ARGV[at]), spent = numbers(at + 1, n)}
    at = at + 1 + n
  end
  if op == 'take' then
    local need, rest = needAt(at, n)
    local want, divisor, out, shared = unpack(numbers(rest, 4))
    return {
      op = op, now = now, limits = limits, lane = lane, snapshot = snapshot,
      need = need, want = want, divisor = divisor, out = out, isShared = shared == 1,
      place = ARGV[rest + 4], present = ARGV[rest + 5],
    }, rest + 6
  elseif op == 'peek' then
    local need, rest = needAt(at, n)
    return {
      op = op, now = now, limits = limits, lane = lane, snapshot = snapshot, need = need, present = ARGV[rest],
    }, rest + 1
  elseif op == 'release' then
    return {op = op, now = now, limits = limits, lane = lane, place = ARGV[at]}, at + 1
  elseif op == 'hold' then
    return {op = op, now = now, limits = limits, lane = lane, place = ARGV[at], madeAt = tonumber(ARGV[at + 1])}, at + 2
  elseif op == 'adjust' then
    return {
      op = op, now = now, limits = limits, lane = lane, snapshot = snapshot, madeAt = tonumber(ARGV[at]),
      words = ARGV[at + 1], sequence = tonumber(ARGV[at + 2]), deltas = numbers(at + 3, n),
    }, at + 3 + n
  elseif op == 'grant' then
    local limit, milli, keeps = unpack(numbers(at, 3))
    return {
      op = op, now = now, limits = limits, lane = lane, snapshot = snapshot, sequence = 1,
      limit = limit, milli = milli, keeps = keeps == 1,
    }, at + 3
  end
  return {op = op, now = now, limits = limits, lane = lane}, at
end

local function leave(state, command)
  local now = max(command.now, count(state.own['@t']) or command.now)
  local counter = '@c:' .. command.lane
  if state.own[counter] then redis.call('HDEL', state.key, counter) end
  return {0, 0, now, now - command.now, '', 0}
end

local function reset(state, command)
  local epoch, ended = epochAt(state, command.now), state.own['@e']
  redis.call('DEL', state.key)
  if ended then
    if epoch == ended then epoch = epoch .. '+' end
    try('HSET', state.key, '@e', epoch, '@x', ended)
    try('PEXPIRE', state.key, ${DAY})
  end
  try('PUBLISH', channel, caller .. ' reset ' .. state.key)
  return {0, 0, command.now, 0, epoch, 0}
end

local function release(state, command)
  local freed = 0
  for i = 1, #command.limits do
    local name = command.limits[i].name
    if command.limits[i].rule.isPlaces and removePlace(state, name, command.lane, command.place) then
      freed = freed + 1
      local text = textOf(state.places[name])
      if text == '' then
        redis.call('HDEL', state.key, '@p:' .. name)
      else
        redis.call('HSET', state.key, '@p:' .. name, text)
      end
    end
  end
  return {0, freed, state.now, state.now - state.asked, '', 0}
end

local function hold(state, command)
  for i = 1, #command.limits do
    local limit = command.limits[i]
    if limit.rule.isPlaces then
      addPlace(state, limit.name, command.lane, command.place, command.madeAt, limit.rule.timeout)
    end
  end
  save(state, command)
  return {0, 0, state.now, state.now - state.asked, '', 0}
end

-- Has a limit's name stand for what it does in the caller's tier; an error while something is spent of another kind.
local function agree(state, limits)
  for i = 1, #limits do
    local name, rule = limits[i].name, limits[i].rule
    local slot, places = state.slots[name], state.places[name]
    if places and #places > 0 and not rule.isPlaces then
      return {err = 'KIND ' .. name .. ',' .. rule.kind .. ',concurrency'}
    end
    if slot and slot.rule.kind ~= rule.kind then
      if slot.spent ~= 0 or slot.granted > 0 then return {err = 'KIND ' .. name .. ',' .. rule.kind .. ',' .. slot.rule.kind} end
    end
    if slot and slot.rule.kind ~= rule.kind and not rule.isPlaces then
      state.slots[name] = slotOf(rule, limits[i].initial)
      state.slots[name].storedRestored = slot.storedRestored
    end
  end
end

local function adjust(state, command)
  -- Whether the correction is said to be something.
  local function is(word)
    return command.words ~= '' and string.find(command.words, word, 1, true) ~= nil
  end
  -- By how much a slot changes, in its units: of thousandths under the rule of a limit.
  local function changeOf(slot, limit, delta)
    local rule = slot.rule
    if limit.rule.isPlaces then return 0 end
    if not rule.isBucket then
      local isSamePeriod = (periodOf(state.now, rule)) == (periodOf(command.madeAt, limit.rule))
      return isSamePeriod and delta or 0
    end
    if is('quotas') then return 0 end
    local change = unitsOf(delta, limit.rule, rule)
    if change >= 0 or not is('unused') then return change end
    return min(0, change + max(0, state.now - command.madeAt) * rule.perMs)
  end

  local limits, deltas, snapshot = command.limits, command.deltas, command.snapshot
  local last = count(string.match(state.own['@c:' .. command.lane] or '', '^(%d+) ')) or 0
  if command.sequence and command.sequence <= last then return answer(state, limits, 0, 0, 0) end
  local charges, knows = false, false
  for i = 1, #limits do
    knows = knows or snapshot and snapshot.spent[i]
    charges = charges or deltas[i] > 0
  end
  if not next(state.slots) then
    if not charges and not knows then return {0, 0, state.now, state.now - state.asked, '', 0} end
    bringTo(state, limits)
  end
  local restores, isOfOutage = mayRestore(state, snapshot), is('outage')
  for i = 1, #limits do
    local isMeant = restores and snapshot.spent[i] or isOfOutage and deltas[i] > 0
    isMeant = isMeant and not limits[i].rule.isPlaces
    if isMeant and not state.slots[limits[i].name] then state.slots[limits[i].name] = slotOf(limits[i].rule, limits[i].initial) end
  end
  restore(state, command)
  local isLapsed = is('retry') and not (snapshot and snapshot.epoch == state.epoch)
  for i = 1, #limits do
    local slot = state.slots[limits[i].name]
    if slot and slot.spent <= ${MAX} and not (isLapsed and deltas[i] < 0) then
      slot.spent = min(${MAX}, max(-slot.granted, slot.spent + changeOf(slot, limits[i], deltas[i])))
    end
  end
  save(state, command)
  if is('tell') then try('PUBLISH', channel, caller .. ' change ' .. state.key) end
  return answer(state, limits, 0, 0, 0)
end

-- The limit that denies with the longest wait, or 0; how many thousandths are left of all limits; and for how long tokens that
-- others hold may come back: a wait that these may end is not told as if they did not.
local function weigh(state, command)
  local limits, need = command.limits, command.need
  local denied, longest, left = 0, 0, nil
  for i = 1, #limits do
    local name, rule, needed = limits[i].name, limits[i].rule, neededOf(need, i)
    local spent = rule.isPlaces and 0 or state.slots[name].spent
    local wait, has
    if rule.isPlaces then
      local amount = amountOf(state, name)
      local isFull = #(state.places[name] or {}) >= rule.capacity
      wait, has = isFull and max(1, amount % ${MAX_TIMEOUT_MS + 1}) or 0, ${MAX}
    elseif rule.isBucket then
      local missing, block = spent + needed * rule.perMilli - rule.capacity, 0
      if spent > ${MAX} then block = spent - ${MAX} elseif missing > 0 then block = limits[i].block end
      if block > 0 then missing = block + max(0, limits[i].initial + needed * rule.perMilli - rule.capacity) end
      wait = missing > 0 and ceil(missing / rule.perMs) or 0
      has = floor((rule.capacity - spent) / rule.perMilli)
    else
      local _, finish = periodOf(state.now, rule)
      wait = spent + needed > rule.capacity and (rule.capacity > 0 and finish - state.now or math.huge) or 0
      -- While something is kept nothing is granted ahead: with the period would end what lies idle, and what is kept would
      -- have been used in its place.
      has = keptOf(state.slots[limits[i].name], rule.capacity) > 0 and 0 or rule.capacity - spent
    end
    if needed > 0 and wait > longest then denied, longest = i, wait end
    left = left and min(left, has) or has
  end
  local back = denied > 0 and outstanding(state, command) or 0
  return denied, left, back < longest + state.now - state.asked and back or 0
end

-- Begins the blocks that a denial begins.
local function block(state, limits, need)
  for i = 1, #limits do
    local limit, slot = limits[i], state.slots[limits[i].name]
    local rule, needed = limit.rule, neededOf(need, i)
    if limit.block > 0 and needed > 0 and slot.spent <= ${MAX} and slot.spent + needed * rule.perMilli > rule.capacity then
      slot.spent, slot.initial = ${MAX} + limit.block, limit.initial
    end
  end
end

local function peek(state, command)
  dropAbsent(state, command.present)
  bringTo(state, command.limits)
  restore(state, command)
  local denied, _, back = weigh(state, command)
  return answer(state, command.limits, denied, 0, back)
end

local function take(state, command)
  local limits, need, own = command.limits, command.need, state.own
  dropAbsent(state, command.present)
  local changed = bringTo(state, limits)
  restore(state, command)
  local denied, left, back = weigh(state, command)
  local granted, grants = 0, false
  if denied == 0 then
    local ahead = 0
    if type(need) == 'table' then
      for i = 1, #limits do granted = max(granted, need[i]) end
    else
      ahead = min(command.want, floor(left / command.divisor)) - need
      ahead = max(0, ahead - ahead % 1000)
      granted = need + ahead
    end
    grants = ahead > 0
    if grants then
      own['@w'] = (command.isShared or outstanding(state, command) > 0) and '*' or command.lane
      own['@g'] = string.format('%.0f', max(state.asked + command.out, own['@w'] == '*' and count(own['@g']) or 0))
    end
    for i = 1, #limits do
      local name, rule, needed = limits[i].name, limits[i].rule, neededOf(need, i)
      local slot, milli = state.slots[name], needed + ahead
      if rule.isPlaces then
        if needed > 0 and command.place ~= '' then
          addPlace(state, name, command.lane, command.place, state.now, rule.timeout)
        end
      elseif milli > 0 then
        slot.spent = min(${MAX}, slot.spent + milli * rule.perMilli)
      end
    end
  elseif back == 0 then
    block(state, limits, need)
  end
  save(state, command, grants)
  if changed then try('PUBLISH', channel, caller .. ' change ' .. state.key) end
  if back > 0 then try('PUBLISH', channel, caller .. ' return ' .. state.key) end
  return answer(state, limits, denied, granted, back)
end

local function grant(state, command)
  local limits, milli = command.limits, command.milli
  if state.own['@c:' .. command.lane] then return answer(state, limits, 0, milli, 0) end
  -- All but the quota stays as it is.
  local limit = limits[command.limit]
  bringTo(state, {limit})
  restore(state, command)
  local slot = state.slots[limit.name]
  if slot.granted + milli > ${MAX} then return answer(state, limits, 0, 0, 0) end
  slot.granted, slot.spent, slot.grantedAt = slot.granted + milli, slot.spent - milli, state.now
  if command.keeps then slot.kept = slot.kept + milli end
  save(state, command)
  try('PUBLISH', channel, caller .. ' change ' .. state.key)
  return answer(state, limits, 0, milli, 0)
end

local function execute(key, command)
  local op, state, fault = command.op, load(key)
  if fault then return fault end
  if op == 'reset' then return reset(state, command) end
  if op == 'leave' and not state.isForeign then return leave(state, command) end
  if state.isForeign or not advance(state, command.now) then return {err = 'FOREIGN ' .. redis.call('TYPE', key).ok} end
  if op == 'release' then return release(state, command) end
  local conflict = agree(state, command.limits)
  if conflict then return conflict end
  if op == 'hold' then return hold(state, command) end
  if op == 'adjust' then return adjust(state, command) end
  if op == 'peek' then return peek(state, command) end
  if op == 'grant' then return grant(state, command) end
  return take(state, command)
end

local at = 5
for t = 1, tonumber(ARGV[4]) do
  local limits = {}
  for i = 1, tonumber(ARGV[at]) do
    limits[i] = {
      name = ARGV[at + 1], rule = ruleOf(ARGV[at + 2]), initial = tonumber(ARGV[at + 3]), block = tonumber(ARGV[at + 4]),
    }
    at = at + 4
  end
  tiers[t] = limits
  at = at + 1
end

local replies = {}
for k = 1, #KEYS do
  local command
  command, at = decode(at)
  local done, reply = pcall(execute, KEYS[k], command)
  if not done and type(reply) ~= 'table' then reply = {err = tostring(reply)} end
  replies[k] = reply
end
if refused then replies[#KEYS + 1] = refused end
return replies
`;
