-- Writes native events (docs/events.md) as JSON, once per attempt, and names endpoints.
-- Facts of an attempt go in, one line of JSON comes out that every delivery repeats byte by byte.
-- Pure; it must never write bytes that are not UTF-8 (one such line would cost the whole batch),
-- nor a number with fewer digits than it has, nor a path with ids.
local memo = require("gatemeter.memo")
local new_table = require("table.new")

local event = {}

local LABEL_BYTES_MAX = 128

local ENDPOINTS = {
  "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/models",
  "/v1/messages", "/v1/messages/count_tokens", "/v1/moderations", "/v1/rerank",
  "/v1/images/generations", "/v1/images/edits", "/v1/images/variations", "/v1/audio/speech",
  "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/files", "/v1/batches",
  "/v1/fine_tuning/jobs", "/v1/assistants", "/v1/threads", "/v1/vector_stores", "/v1/uploads",
  "/chat/completions", "/completions", "/embeddings", "/responses", "/v1/chat", "/v1/embed",
  "/v2/chat", "/v2/embed", "/v2/rerank", "/v1/multimodalembeddings",
  "/v1/contextualizedembeddings", "/v1/text/chatcompletion_v2", "/api/chat", "/api/generate",
  "/api/embed", "/api/embeddings", "/completion", "/generate", "/v1beta/interactions",
  "/v1beta/openai/chat/completions", "/v1beta/openai/embeddings", "/openai/v1/chat/completions",
  "/api/v1/chat/completions", "/compatible-mode/v1/chat/completions",
  "/compatible-mode/v1/embeddings", "/api/paas/v4/chat/completions", "/api/paas/v4/embeddings",
  "/anthropic/v1/messages", "/api/anthropic/v1/messages",
  "/api/v1/services/aigc/text-generation/generation",
  "/api/v1/services/aigc/multimodal-generation/generation",
  "/api/v1/services/embeddings/text-embedding/text-embedding",
}
-- Verbs of Gemini behind the model.
for _, verb in ipairs({ "generateContent", "streamGenerateContent", "embedContent",
                        "batchEmbedContents", "countTokens" }) do
  ENDPOINTS[#ENDPOINTS + 1] = "/v1beta/models/{model}:" .. verb
end
local TEMPLATES = {
  { "^/v1/models/[^/]+", "/v1/models/{model}" },
  { "^/v1/responses/[^/]+$", "/v1/responses/{id}" },
  { "^/v1/chat/completions/[^/]+$", "/v1/chat/completions/{id}" },
  { "^/v1/files/[^/]+$", "/v1/files/{id}" },
  { "^/v1/files/[^/]+/content$", "/v1/files/{id}/content" },
  { "^/v1/batches/[^/]+$", "/v1/batches/{id}" },
  { "^/v1/batches/[^/]+/cancel$", "/v1/batches/{id}/cancel" },
  { "^/openai/deployments/[^/]+/chat/completions$",
    "/openai/deployments/{model}/chat/completions" },
  { "^/openai/deployments/[^/]+/completions$", "/openai/deployments/{model}/completions" },
  { "^/openai/deployments/[^/]+/embeddings$", "/openai/deployments/{model}/embeddings" },
  { "^/model/.+/converse$", "/model/{model}/converse" },
  { "^/model/.+/converse%-stream$", "/model/{model}/converse-stream" },
  { "^/model/.+/invoke$", "/model/{model}/invoke" },
  { "^/model/.+/invoke%-with%-response%-stream$", "/model/{model}/invoke-with-response-stream" },
}
local KNOWN = {}
for _, path in ipairs(ENDPOINTS) do
  KNOWN[path] = path
end

-- The route template of a path; `/other` for every path that is not known.
function event.endpoint(path)
  if KNOWN[path] then
    return path
  end
  path = path:gsub("(.)/$", "%1"):gsub("^/v1beta/models/[^/:]+:", "/v1beta/models/{model}:")
  if KNOWN[path] then
    return path
  end
  for i = 1, #TEMPLATES do
    if path:find(TEMPLATES[i][1]) then
      return TEMPLATES[i][2]
    end
  end
  return "/other"
end

local function follows(text, at, n)
  for i = at + 1, at + n do
    local byte = text:byte(i)
    if not byte or byte < 0x80 or byte > 0xbf then
      return false
    end
  end
  return true
end

-- Bytes of the letter beyond ASCII that begins at `at`, as ingest reads UTF-8: no overlong forms,
-- no surrogates. nil if none begins there.
local function letter_bytes(text, at)
  local first, second = text:byte(at, at + 1)
  local n = first >= 0xf0 and 3 or first >= 0xe0 and 2 or 1
  if first < 0xc2 or first > 0xf4 or not follows(text, at, n) then
    return nil
  end
  if first == 0xe0 and second < 0xa0 or first == 0xed and second > 0x9f
    or first == 0xf0 and second < 0x90 or first == 0xf4 and second > 0x8f then
    return nil
  end
  return n + 1
end

-- `text` in UTF-8: each byte that is no part of a letter becomes a question mark.
function event.utf8(text)
  local pieces, from = {}, 1
  local at = text:find("[\128-\255]")
  while at do
    local n = letter_bytes(text, at)
    if not n then
      pieces[#pieces + 1] = text:sub(from, at - 1)
      from = at + 1
    end
    at = text:find("[\128-\255]", at + (n or 1))
  end
  pieces[#pieces + 1] = text:sub(from)
  return #pieces > 1 and table.concat(pieces, "?") or text
end

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(char)
  return SHORT[char] or ("\\u%04x"):format(char:byte())
end

local function quote(text)
  if text:find('[%c"\\\127-\255]') then
    text = event.utf8(text):gsub('[%c"\\]', escape)
  end
  return '"' .. text .. '"'
end

local function whole(value)
  return ("%.0f"):format(value)
end

local function milliseconds(value)
  return ("%.3f"):format(value < 0 and 0 or value)
end

-- A word that is one of few, as JSON.
local word = memo.of(quote)

-- Labels longer than ingest takes become `other` there; cutting them keeps lines bounded as well.
local function label(text)
  return word(#text > LABEL_BYTES_MAX and text:sub(1, LABEL_BYTES_MAX + 1) or text)
end

local function flag(value)
  return value and "true" or "false"
end

-- Fields in the order in which they are written, each with its name as JSON.
local function fields(list)
  for i, field in ipairs(list) do
    list[i] = { name = field[1], json = ('"%s":'):format(field[1]), write = field[2] }
  end
  return list
end

-- Adds what there is of `fields` to the pieces of a line, each behind what is before a member.
local function put(pieces, n, list, values)
  local before = "{"
  for i = 1, #list do
    local field = list[i]
    local value = values[field.name]
    if value ~= nil then
      pieces[n + 1], pieces[n + 2] = before, field.json
      pieces[n + 3] = field.write(value)
      n, before = n + 3, ","
    end
  end
  return n, before
end

local USAGE = fields({
  { "input_tokens", whole }, { "cache_read_tokens", whole }, { "cache_write_tokens", whole },
  { "output_tokens", whole }, { "reasoning_tokens", whole },
})

local function write_usage(usage)
  local pieces = new_table(3 * #USAGE, 0)
  local n, before = put(pieces, 0, USAGE, usage)
  return before == "{" and "{}" or table.concat(pieces, "", 1, n) .. "}"
end

local FIELDS = fields({
  { "id", quote }, { "time", whole }, { "namespace", word }, { "upstream", label },
  { "model", label }, { "requested_model", label }, { "method", label }, { "endpoint", label },
  { "status", whole }, { "duration_ms", milliseconds }, { "ttft_ms", milliseconds },
  { "stream", flag }, { "usage", write_usage }, { "request_id", quote }, { "error_type", word },
  { "consumer", label }, { "producer", word }, { "seq", whole },
})

-- One line. `facts.text_json` is text that text.write() has encoded already.
function event.encode(facts)
  local pieces = new_table(3 * #FIELDS + 3, 0)
  local n, before = put(pieces, 0, FIELDS, facts)
  if facts.text_json then
    pieces[n + 1], pieces[n + 2], pieces[n + 3] = before, '"text":', facts.text_json
    n, before = n + 3, ","
  end
  return before == "{" and "{}" or table.concat(pieces, "", 1, n) .. "}"
end

-- A gauge of active connections; it never enters the spool.
function event.connections(namespace, gateway, active, time_us)
  return ('{"kind":"connections","namespace":%s,"gateway":%s,"active":%s,"time":%s}'):format(
    quote(namespace), quote(gateway), whole(active), whole(time_us))
end

return event
