import { MAX_TIMEOUT_MS } from "../../engine/concurrency.js";

/** By how much, in ms, the clocks of a Cluster's nodes may differ: of two, one keeps who is there, and the other a key. */
export const SKEW_MS = 1000;

/**
 * The places that running calls have taken of a key's limits of concurrency, in Lua, to stand in a script behind `present`,
 * `count`, and `min` and `max` of its `math`.
 *
 * They stand in the key's hash under `@p:<limit>`: of each the lane that holds it, its number there, when it was taken, and
 * when it is over, by a space each. A lane is a replica, or one of its threads: `<replica>.<lane>`. When a place was taken is by the
 * server's own time, all else by the key's. One that is over is free, and so is one of a replica that is not there any more: that was
 * not when the caller heard last who is, though it had taken the place before, and whoever takes one was heard of first.
 *
 * - `readPlaces(state)`: those that are not over. `dropAbsent(state, told)`: without those of replicas that are gone.
 * - `amountOf(state, name)`: how a limit stands, as `concurrency.ts` tells it.
 * - `addPlace(state, name, owner, number, at, timeout)`, `removePlace(state, name, owner, number)`: whether there was one.
 * - `textOf(places)`: as they are written, and when the last is over.
 */
export const PLACES = `
local function readPlaces(state)
  for field, text in pairs(state.own) do
    if string.sub(field, 1, 3) == '@p:' then
      local places = {}
      for owner, number, since, finish in string.gmatch(text, '(%S+) (%d+) (%d+) (%d+)') do
        since, finish = count(since), count(finish)
        if since and finish and finish > state.now and finish - state.now <= ${MAX_TIMEOUT_MS} then
          places[#places + 1] = {owner = owner, number = number, since = since, finish = finish}
        end
      end
      state.places[string.sub(field, 4)] = places
    end
  end
end

local function dropAbsent(state, told)
  local at = count(told and string.match(told, '^%d+'))
  if not at then return end
  local there = {}
  for replica in string.gmatch(told, ' (%S+)') do there[replica] = true end
  for name, places in pairs(state.places) do
    local kept = {}
    for _, place in ipairs(places) do
      if there[string.match(place.owner, '^[^.]*')] or place.since > at - ${SKEW_MS} then kept[#kept + 1] = place end
    end
    state.places[name] = kept
  end
end

local function amountOf(state, name)
  local places, first = state.places[name] or {}, nil
  for _, place in ipairs(places) do first = min(first or place.finish, place.finish) end
  if not first then return 0 end
  return #places * ${MAX_TIMEOUT_MS + 1} + min(first - state.now, ${MAX_TIMEOUT_MS})
end

local function addPlace(state, name, owner, number, at, timeout)
  local places = state.places[name] or {}
  state.places[name] = places
  for _, place in ipairs(places) do
    if place.owner == owner and place.number == number then return end
  end
  if at + timeout > state.now then
    places[#places + 1] = {owner = owner, number = number, since = present, finish = at + timeout}
  end
end

local function removePlace(state, name, owner, number)
  for i, place in ipairs(state.places[name] or {}) do
    if place.owner == owner and place.number == number then
      table.remove(state.places[name], i)
      return true
    end
  end
  return false
end

local function textOf(places)
  local texts, last = {}, 0
  for i, place in ipairs(places) do
    texts[i] = string.format('%s %s %.0f %.0f', place.owner, place.number, place.since, place.finish)
    last = max(last, place.finish)
  end
  return table.concat(texts, ' '), last
end
`;
