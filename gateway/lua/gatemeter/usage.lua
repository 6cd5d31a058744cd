-- Reads token counts from what upstreams report, by the tables of shapes.lua. find() takes the
-- counts of a decoded event or answer, merge() adds those of the next event of the same stream,
-- settle() makes the usage of a native event of them. Pure; a count that the upstream did not give
-- must stay absent, for absent and zero mean different things, and what is no number must never
-- become one.
local forms = require("gatemeter.forms")
local shapes = require("gatemeter.shapes")

local usage = {}

local ELEMENTS_MAX = 128
local COUNTS = forms.COUNTS
local follow = forms.follow

-- The paths of the places, split once; those within the elements of `choices` apart.
local places, in_choices = {}, {}
for _, place in ipairs(shapes.PLACES) do
  local names = forms.split(place.path)
  local is_of_choices = names[1] == "choices[]"
  if is_of_choices then
    table.remove(names, 1)
  end
  local own = { names = names, first = names[1], forms = place.forms,
                name = place.spare and "spare" or "main" }
  table.insert(is_of_choices and in_choices or places, own)
end

-- Anthropic lists the rounds of one answer. Those of a compaction, an advisor or a model that gave
-- up are billed and not in the sum, and of the input it reports only the first.
local function add_rounds(found, raw)
  local rounds = raw.iterations
  if found.form.name ~= "anthropic" and found.form.name ~= "openai_responses"
    or type(rounds) ~= "table" then
    return
  end
  local sum = {}
  for i = 1, math.min(#rounds, ELEMENTS_MAX) do
    local round = type(rounds[i]) == "table" and forms.read(rounds[i])
    if not round or next(round.unknown) then
      return
    end
    for _, name in ipairs(COUNTS) do
      sum[name] = round[name] and (sum[name] or 0) + round[name] or sum[name]
    end
    if round.form.cache == "beside" then
      found.form = round.form
    end
  end
  for name, n in pairs(sum) do
    found[name] = math.max(found[name] or 0, n)
  end
end

local function is_positive(n)
  return type(n) == "number" and n > 0
end

-- Whether the upstream bills by another unit than tokens: seconds of sound, searches, labels.
local function is_of_another_unit(raw)
  local billed = raw.billed_units
  if raw.type == "duration" then
    return true
  end
  return type(billed) == "table"
    and (is_positive(billed.search_units) or is_positive(billed.classifications))
    and billed.input_tokens == nil and billed.output_tokens == nil and billed.image_tokens == nil
end

local function take(reported, object, place, event)
  if type(object) ~= "table" then
    return reported
  elseif is_of_another_unit(object) then
    reported = reported or {}
    reported.another_unit = true
    return reported
  end
  local found = forms.read(object, place.forms)
  if not found then
    return reported
  end
  add_rounds(found, object)
  if event.type == "message_start" then
    -- What the output is at the start of a stream of Anthropic's says nothing.
    for _, count_name in ipairs({ "output", "total", "reasoning" }) do
      found[count_name], found.unknown[count_name] = nil, nil
    end
  end
  reported = reported or {}
  reported[place.name] = usage.merge_counts(reported[place.name], found)
  return reported
end

local function take_of_choices(reported, event)
  local list = event.choices
  for i = 1, type(list) == "table" and math.min(#list, ELEMENTS_MAX) or 0 do
    local choice = list[i]
    for j = 1, type(choice) == "table" and #in_choices or 0 do
      local place = in_choices[j]
      if choice[place.first] ~= nil then
        reported = take(reported, follow(choice, place.names), place, event)
      end
    end
  end
  return reported
end

-- What an event or a whole answer reports, or nil.
function usage.find(event)
  if type(event) ~= "table" then
    return nil
  end
  local reported
  for i = 1, #places do
    local place = places[i]
    local first = place.first
    -- Most places are not there, and most of what is there is the first one.
    if not first or event[first] ~= nil then
      reported = take(reported, follow(event, place.names), place, event)
    end
  end
  return take_of_choices(reported, event)
end

-- Counts of one stream are cumulative and never fall, so the larger one is true, whichever comes
-- first; and what was no number is forgotten when a number follows.
function usage.merge_counts(older, newer)
  if not older then
    return newer
  end
  for _, name in ipairs(COUNTS) do
    if newer[name] and newer[name] >= (older[name] or 0) then
      older[name] = newer[name]
    end
    if newer[name] or newer.unknown[name] then
      older.unknown[name] = newer.unknown[name]
    end
  end
  older.n_repaired = math.max(older.n_repaired, newer.n_repaired)
  older.rest_is_input = older.rest_is_input or newer.rest_is_input
  if older.form.name == "total_only" or newer.form.cache == "beside" then
    older.form = newer.form
  end
  return older
end

function usage.merge(older, newer)
  if not older or not newer then
    return older or newer
  end
  for _, name in ipairs({ "main", "spare" }) do
    if newer[name] then
      older[name] = usage.merge_counts(older[name], newer[name])
    end
  end
  older.another_unit = older.another_unit or newer.another_unit
  return older
end

-- Of reasoning, of cache: whether it stands where the form does not say. The form comes first.
local TURNS = { { false, false }, { true, false }, { false, true }, { true, true } }

-- Whether cache and reasoning stand inside or beside, as the total proves it; the last value says
-- whether it fits at all.
local function place_by_total(reported, slack)
  local form = reported.form
  local cached = (reported.cache_read or 0) + (reported.cache_write or 0)
  local reasoning, total = reported.reasoning or 0, reported.total
  local base = (reported.input or 0) + (reported.output or 0)
  local cache_beside, beside = form.cache == "beside", form.reasoning_is == "beside"
  if not total then
    return cache_beside, beside, true
  end
  for i = 1, #TURNS do
    local turn_reasoning, turn_cache = TURNS[i][1], TURNS[i][2]
    if (not turn_reasoning or form.by_total.reasoning and reasoning > 0)
      and (not turn_cache or form.by_total.cache and cached > 0) then
      local r = beside ~= turn_reasoning
      local c = cache_beside ~= turn_cache
      local expected = base + (r and reasoning or 0) + (c and cached or 0)
      if math.abs(total - expected) <= slack then
        return c, r, true
      end
    end
  end
  -- Where the cache is beside by definition, a total may leave it out.
  local fits = cache_beside and math.abs(total - base) <= slack
  return cache_beside, beside, fits
end

-- What the total implies for an unreported side, more input, or reasoning without details.
local function fill_from_total(reported, cache_beside, beside, without_output)
  local cached = cache_beside and (reported.cache_read or 0) + (reported.cache_write or 0) or 0
  local rest = reported.total - (reported.input or 0) - (reported.output or 0) - cached
    - (beside and reported.reasoning or 0)
  if rest <= 0 or not reported.form.by_total.reasoning then
    return false
  end
  if without_output then
    if not reported.input or (reported.output or 0) > 0 then
      return false
    end
    reported.input = reported.input + rest
    return true
  end
  if reported.rest_is_input then
    -- With a side missing as well, nothing says how much of the rest is input.
    if not reported.input or not reported.output then
      return false
    end
    reported.input = reported.input + rest
    return true
  end
  if reported.input and reported.output then
    if reported.reasoning then
      return false
    end
    reported.output, reported.reasoning = reported.output + rest, rest
  elseif reported.input then
    if not beside and (reported.reasoning or 0) > rest then
      return false
    end
    reported.output = rest
  else
    reported.input = rest
  end
  return true
end

-- Ingest rejects an event whose usage contradicts itself. The two sides are what is billed, so the
-- parts give way: by what rounding explains, or wholly.
local function settle_parts(result, slack)
  -- A part of an unknown count is unknown.
  if not result.input_tokens then
    result.cache_read_tokens, result.cache_write_tokens = nil, nil
  end
  if not result.output_tokens then
    result.reasoning_tokens = nil
  end
  local whole, fits = result.input_tokens or 0, true
  local over = (result.cache_read_tokens or 0) + (result.cache_write_tokens or 0) - whole
  if over > slack then
    -- OpenAI's guide has reads and writes apart from each other, both within the input; but its
    -- chat reports writes "unadjusted", up to the breakpoint, which may have been read as well.
    result.cache_write_tokens, fits = nil, false
    if (result.cache_read_tokens or 0) > whole then
      result.cache_read_tokens = nil
    end
  elseif over > 0 then
    local read, write = result.cache_read_tokens, result.cache_write_tokens
    local less = math.min(write or 0, over)
    result.cache_write_tokens = write and write - less
    result.cache_read_tokens = read and read - (over - less)
  end
  over = (result.reasoning_tokens or 0) - (result.output_tokens or 0)
  if over > slack then
    result.reasoning_tokens, fits = nil, false
  elseif over > 0 then
    result.reasoning_tokens = result.output_tokens
  end
  return fits
end

-- Takes what only the spare place reports.
local function with_spare(reported)
  local main, spare = reported.main, reported.spare
  if not main or not spare then
    return main or spare
  end
  if not main.input and not main.output then
    return spare
  end
  main.cache_read = main.cache_read or spare.cache_read
  return main
end

-- Several prompts may be answered in one body, each with its own usage: a name for the one that an
-- event belongs to, nil where there is only one.
function usage.prompt_of(event)
  local meta = event.meta_info
  if type(meta) == "table" and type(meta.id) == "string" then
    return meta.id
  end
  return event.tokens_evaluated ~= nil and type(event.index) == "number" and event.index or nil
end

-- The usage of all prompts: the sum of each count, nil if one of them does not report it.
function usage.sum(reported_by_prompt)
  local prompt, reported = next(reported_by_prompt)
  if not reported or next(reported_by_prompt, prompt) == nil then
    return reported
  end
  local sum, another_unit
  for _, one in pairs(reported_by_prompt) do
    local counts = with_spare(one)
    if not counts then
      another_unit = one.another_unit
    elseif not sum then
      sum = counts
    else
      for _, name in ipairs(COUNTS) do
        sum[name] = sum[name] and counts[name] and sum[name] + counts[name]
        sum.unknown[name] = sum.unknown[name] or counts.unknown[name]
      end
      sum.n_repaired = sum.n_repaired + counts.n_repaired
    end
  end
  return { main = sum, another_unit = another_unit }
end

-- `reported` is consumed. options.without_output: the endpoint answers with no text;
-- options.saw_text(counts): whether the answer has brought text. Returns the usage of a native
-- event or nil, and what there is to say about it: { repaired, mismatch = form, absent = { input,
-- output }, another_unit = true for a bill that has no tokens }.
function usage.settle(reported, options)
  local counts = reported and with_spare(reported)
  if not counts then
    return nil, { another_unit = reported and reported.another_unit }
  end
  local says = { repaired = counts.n_repaired > 0 }
  if next(counts.unknown) then
    return nil, says
  end
  -- A server that has sent text has used tokens: its zero is a placeholder.
  if counts.output == 0 and options.saw_text and options.saw_text(counts) then
    counts.output = nil
    counts.input = counts.input ~= 0 and counts.input or nil
    counts.total = counts.total ~= 0 and counts.total or nil
  end
  if options.without_output and counts.input == 0 and (counts.output or 0) == 0 then
    counts.input = (counts.total or 0) == 0 and 0 or nil
    counts.output = counts.input and counts.output
  end
  local slack = counts.n_repaired
  if not counts.input and not counts.output and counts.total then
    if options.without_output then
      return { input_tokens = counts.total }, says
    end
    says.mismatch = counts.form.name
    return nil, says
  end
  if not counts.input and not counts.output then
    return nil, says
  end
  local cache_beside, beside, fits = place_by_total(counts, slack)
  if not fits then
    fits = fill_from_total(counts, cache_beside, beside, options.without_output)
  end
  local result = {
    input_tokens = counts.input, output_tokens = counts.output,
    cache_read_tokens = counts.cache_read, cache_write_tokens = counts.cache_write,
    reasoning_tokens = counts.reasoning,
  }
  if cache_beside and counts.input then
    result.input_tokens = counts.input + (counts.cache_read or 0) + (counts.cache_write or 0)
  end
  if beside and counts.reasoning then
    result.output_tokens = (counts.output or 0) + counts.reasoning
  end
  fits = settle_parts(result, slack) and fits
  for _, n in pairs(result) do
    if n > forms.TOKENS_MAX then
      return nil, says
    end
  end
  says.mismatch = not fits and counts.form.name or nil
  says.absent = { input = result.input_tokens == nil,
                  output = result.output_tokens == nil and not options.without_output }
  return result, says
end

return usage
