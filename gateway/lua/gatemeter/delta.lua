-- Says whether an event of a stream carries a part of the answer, not only its frame: that is the
-- moment of the first token. Decoded events go in. Pure; it must never take an empty text, a role
-- or a signature for a token.
local values = require("gatemeter.values")

local delta = {}
local filled, is_given = values.filled, values.is_given

local TEXTS = { "content", "reasoning_content", "reasoning", "refusal", "text", "thinking",
                "partial_json", "audio", "reasoning_details" }

local function bears(part)
  if type(part) ~= "table" then
    return filled(part)
  end
  for i = 1, #TEXTS do
    if is_given(part[TEXTS[i]]) then
      return true
    end
  end
  local calls = part.tool_calls
  return type(calls) == "table" and next(calls) ~= nil
    or type(part.function_call) == "table" or type(part.toolUse) == "table"
end

local function any_choice(choices)
  for _, choice in ipairs(choices) do
    if type(choice) == "table"
      and (bears(choice.delta) or bears(choice.message) or filled(choice.text)) then
      return true
    end
  end
  return false
end

-- Gemini: parts of the first candidates.
local function any_candidate(candidates)
  for _, candidate in ipairs(candidates) do
    local content = type(candidate) == "table" and candidate.content
    local parts = type(content) == "table" and content.parts
    for _, part in ipairs(type(parts) == "table" and parts or {}) do
      if type(part) == "table" and (filled(part.text) or part.functionCall or part.inlineData) then
        return true
      end
    end
  end
  return false
end

function delta.bears_tokens(event)
  if type(event) ~= "table" then
    return false
  end
  local inner = type(event.response) == "table" and event.response or event
  if type(event.choices) == "table" then
    return any_choice(event.choices)
  end
  if type(inner.candidates) == "table" then
    return any_candidate(inner.candidates)
  end
  local kind = event.type
  if type(event.event_type) == "string" and event.event_type:find("delta$") then
    kind = event.event_type
  end
  if type(kind) == "string" and (kind:find("delta$") or kind:find("partial_")) then
    local message = type(event.delta) == "table" and event.delta.message
    return bears(event.delta) or bears(message) or filled(event.partial_image_b64)
      or filled(event.b64_json) or filled(event.audio) or filled(event.text)
      or bears(event.content)
  end
  if type(kind) == "string" then
    return false
  end
  -- Ollama, llama.cpp, Bedrock and DashScope in their own words.
  local output, block = event.output, event.contentBlockDelta
  if type(output) == "table" then
    return filled(output.text)
      or type(output.choices) == "table" and any_choice(output.choices)
  end
  -- A message that is a string is an error.
  local message = type(event.message) == "table" and event.message
  return bears(message) or filled(event.response) or filled(event.content)
    or filled(event.text) or filled(event.thinking)
    or type(block) == "table" and bears(block.delta)
end

return delta
