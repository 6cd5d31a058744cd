-- Detects whether an event, or a whole answer, below status 400 reports a failed attempt. A decoded
-- event and its name go in, an error type of docs/events.md comes out, or nil. Pure; it must never
-- take an `error` that is null, or one further inside (the arguments of a tool), for a failure, nor
-- pass on an error type of the upstream that is not one of docs/events.md.
local failure = {}

local OURS = {
  timeout = true, rate_limited = true, client_closed = true, client_error = true,
  upstream_unreachable = true, server_error = true, content_filter = true, policy = true,
}

local function ours(...)
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if type(word) == "string" and OURS[word] then
      return word
    end
  end
  return "server_error"
end

-- { type, code, status } as OpenAI, Anthropic and Gemini send it; Ollama sends only the sentence.
local function of_error(value)
  if type(value) == "table" then
    for _, inner in pairs(value) do
      -- null is distinguished by its type.
      if type(inner) ~= "userdata" then
        return ours(value.type, value.code, value.status)
      end
    end
    return nil
  end
  return type(value) == "string" and value ~= "" and "server_error" or nil
end

-- MiniMax answers 200 with a code of its own.
local function of_base_resp(value)
  local code = type(value) == "table" and value.status_code
  return type(code) == "number" and code ~= 0 and "server_error" or nil
end

local function of_choices(choices)
  for _, choice in ipairs(choices) do
    if type(choice) == "table" then
      local found = of_error(choice.error)
        or choice.finish_reason == "error" and "server_error"
      if found then
        return found
      end
    end
  end
end

local LAST_OF_EXCEPTION = ("n"):byte()

-- AWS names the exception as the member.
local function of_exception(event)
  for name in pairs(event) do
    -- Looking at the last letter costs less than at all of a pattern.
    if type(name) == "string" and name:byte(-1) == LAST_OF_EXCEPTION
      and name:find("Exception$") then
      return "server_error"
    end
  end
end

-- `name` is the `event:` of a server-sent event, or nil.
function failure.find(event, name)
  if type(event) ~= "table" then
    return name == "error" and "server_error" or nil
  end
  local response = type(event.response) == "table" and event.response or nil
  local groq = type(event.x_groq) == "table" and event.x_groq or nil
  local found = of_error(event.error) or response and of_error(response.error)
    or groq and of_error(groq.error)
    or of_base_resp(event.base_resp)
  if not found then
    -- What has choices is of no dialect that names its failures as members.
    local choices = event.choices
    if type(choices) == "table" then
      found = of_choices(choices)
    else
      found = of_exception(event)
    end
  end
  if found then
    return found
  end
  if name == "error" or event.type == "error" or event.object == "error"
    or event.type == "response.failed" then
    return ours(event.error_type, event.code)
  end
  -- Cohere, in both versions.
  local last = event.type == "message-end" and event.delta
    or event.event_type == "stream-end" and event
  local reason = type(last) == "table" and last.finish_reason
  return type(reason) == "string" and reason:find("^ERROR") and "server_error" or nil
end

return failure
