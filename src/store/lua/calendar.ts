/** In ms. */
export const MINUTE = 60_000;
export const DAY = 86_400_000;
/** So long is kept what no period ends: a hundred years. */
export const LASTING = 36_500 * DAY;

/**
 * Periods of quotas in Lua, to stand in a script behind `floor`, `min` and `max` of its `math`:
 * `periodOf(at, anchor)`, the start and the end of the UTC day, for anchor 0, or of the month from that day on, or from its
 * last if it is shorter, that holds an instant. Days are counted from 1970 in eras of 400 years that begin in March.
 */
export const CALENDAR = `
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
  return (first + min(anchor, daysOf(y, m + 1) - first) - 1) * ${DAY}
end

-- By anchor, the period looked up last: nearly all fall into it.
local spans = {}
local function periodOf(at, anchor)
  local span = spans[anchor]
  if span and at >= span[1] and at < span[2] then return span[1], span[2] end
  local start, finish
  if anchor == 0 then
    start = at - at % ${DAY}
    finish = start + ${DAY}
  else
    local z = floor(at / ${DAY}) + 719468
    local era = floor(z / 146097)
    local doe = z - era * 146097
    local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
    local mp = floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
    local m = mp < 10 and mp + 3 or mp - 9
    local y = yoe + era * 400 + (m <= 2 and 1 or 0)
    start = monthStart(y, m, anchor)
    if start > at then
      start, finish = max(0, monthStart(y, m - 1, anchor)), start
    else
      finish = monthStart(y, m + 1, anchor)
    end
  end
  spans[anchor] = {start, finish}
  return start, finish
end
`;
