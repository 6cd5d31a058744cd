-- Reads token counts out of the `usage` objects of OpenAI's and Anthropic's answers.
-- A decoded object goes in, the usage of a native event comes out, or nil. Pure; a count that the
-- upstream did not give must stay absent, for absent and zero mean different things.
local usage = {}

local TOKENS_MAX = 1000000000

local function count(value)
  if type(value) == "number" and value >= 0 and value <= TOKENS_MAX and value % 1 == 0 then
    return value
  end
end

local function detail(object, name)
  if type(object) == "table" then
    return count(object[name])
  end
end

local function sum(first, second, third)
  return count((first or 0) + (second or 0) + (third or 0))
end

-- Ingest rejects an event whose usage contradicts itself. The two totals are what is billed, so
-- the parts give way.
local function settle(told)
  local cached = (told.cache_read_tokens or 0) + (told.cache_write_tokens or 0)
  if cached > (told.input_tokens or cached) then
    told.cache_read_tokens, told.cache_write_tokens = nil, nil
  end
  if (told.reasoning_tokens or 0) > (told.output_tokens or told.reasoning_tokens or 0) then
    told.reasoning_tokens = nil
  end
  return next(told) and told or nil
end

-- `raw` is the upstream's own usage object.
function usage.read(raw)
  if type(raw) ~= "table" then
    return nil
  end
  local input_details = raw.prompt_tokens_details or raw.input_tokens_details
  local output_details = raw.completion_tokens_details or raw.output_tokens_details
  local told = {
    input_tokens = count(raw.prompt_tokens) or count(raw.input_tokens),
    output_tokens = count(raw.completion_tokens) or count(raw.output_tokens),
    cache_read_tokens = detail(input_details, "cached_tokens"),
    reasoning_tokens = detail(output_details, "reasoning_tokens"),
  }
  -- Anthropic tells cached tokens beside the input, not within it.
  local read = count(raw.cache_read_input_tokens)
  local written = count(raw.cache_creation_input_tokens)
  if (read or written) and not count(raw.prompt_tokens) then
    told.cache_read_tokens, told.cache_write_tokens = read, written
    if told.input_tokens then
      told.input_tokens = sum(told.input_tokens, read, written)
    end
  end
  return settle(told)
end

-- Where answers, and events of a stream, have their usage object.
function usage.find(answer)
  if type(answer) ~= "table" then
    return nil
  end
  if type(answer.usage) == "table" then
    return answer.usage
  end
  for _, name in ipairs({ "response", "message" }) do
    local inner = answer[name]
    if type(inner) == "table" and type(inner.usage) == "table" then
      return inner.usage
    end
  end
end

-- Several usage objects of one stream: Anthropic tells input first and output last, others repeat
-- the whole; so later fields win and earlier ones stay.
function usage.merge(older, newer)
  if not older then
    return newer
  end
  for name, value in pairs(newer) do
    if type(value) == "number" or type(value) == "table" then
      older[name] = value
    end
  end
  return older
end

-- The text of the last usage object in the end of an answer that was too long to keep.
function usage.cut_from_tail(tail)
  local from, at = nil, 1
  while true do
    local _, stop = tail:find('"usage"%s*:%s*{', at)
    if not stop then
      break
    end
    from, at = stop, stop + 1
  end
  return from and tail:sub(from):match("^%b{}")
end

return usage
