-- The shapes in which upstreams report usage, as data: FORMS say how a usage object is read, PLACES
-- where one stands in an answer. usage.lua reads by them; providers.lua says who has which, and by
-- what source. Data only: it must never name a field that no source has.
local shapes = {}

-- Elements of a list within a usage object that are added up.
local LISTED_MAX = 16

-- The same member of each element of a list, which are added up.
local function of_each(list, member)
  local paths = {}
  for i = 1, LISTED_MAX do
    paths[i] = ("%s.%d.%s"):format(list, i, member)
  end
  return paths
end

-- A form belongs to a usage object that has one of its `marks` and none of its `not_marks`; the
-- first that fits is taken. The counts are lists of members, of which the largest is taken; a list
-- within is a sum of those that are there. A dot goes into an object, or into a list by a number.
--
-- if_more_than_zero: passed over for the next form where all its counts are 0.
-- cache, reasoning: "inside" the input or the output, or "beside" it, as documented.
-- by_total: the upstream's own total may prove the other for what is named.
-- rest_is_input: members above zero say that more was put in, such as sound, whose tokens are in
-- the total alone.
shapes.FORMS = {
  {
    name = "gemini",
    marks = { "promptTokenCount", "candidatesTokenCount", "responseTokenCount",
              "totalTokenCount", "thoughtsTokenCount" },
    input = { { "promptTokenCount", "toolUsePromptTokenCount" } },
    output = { "candidatesTokenCount", "responseTokenCount" },
    total = { "totalTokenCount" },
    cache_read = { "cachedContentTokenCount" }, cache_write = {},
    reasoning = { "thoughtsTokenCount" },
    cache = "inside", reasoning_is = "beside", by_total = { reasoning = true },
  },
  {
    name = "gemini_snake",
    marks = { "prompt_token_count", "candidates_token_count", "total_token_count" },
    input = { { "prompt_token_count", "tool_use_prompt_token_count" } },
    output = { "candidates_token_count" },
    total = { "total_token_count" },
    cache_read = { "cached_content_token_count" }, cache_write = {},
    reasoning = { "thoughts_token_count" },
    cache = "inside", reasoning_is = "beside", by_total = { reasoning = true },
  },
  {
    name = "gemini_interactions",
    marks = { "total_input_tokens", "total_output_tokens", "totalInputTokens",
              "totalOutputTokens" },
    input = { { "total_input_tokens", "total_tool_use_tokens" },
              { "totalInputTokens", "totalToolUseTokens" } },
    output = { "total_output_tokens", "totalOutputTokens" },
    total = { "total_tokens", "totalTokens" },
    cache_read = { "total_cached_tokens", "totalCachedTokens" }, cache_write = {},
    reasoning = { "total_thought_tokens", "totalThoughtTokens" },
    cache = "inside", reasoning_is = "beside", by_total = { reasoning = true },
  },
  {
    name = "bedrock",
    marks = { "inputTokens", "outputTokens", "totalTokens" },
    input = { "inputTokens" }, output = { "outputTokens" }, total = { "totalTokens" },
    cache_read = { "cacheReadInputTokens", "cacheReadInputTokenCount" },
    cache_write = { "cacheWriteInputTokens", "cacheWriteInputTokenCount" },
    reasoning = {}, cache = "beside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "bedrock_metrics",
    marks = { "inputTokenCount", "outputTokenCount" },
    input = { "inputTokenCount" }, output = { "outputTokenCount" }, total = {},
    cache_read = { "cacheReadInputTokenCount" }, cache_write = { "cacheWriteInputTokenCount" },
    reasoning = {}, cache = "beside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "cohere_billed", if_more_than_zero = true,
    marks = { "billed_units.input_tokens", "billed_units.output_tokens",
              "billed_units.image_tokens" },
    input = { { "billed_units.input_tokens", "billed_units.image_tokens" } },
    output = { "billed_units.output_tokens" },
    total = {}, cache_read = { "cached_tokens" }, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "cohere_tokens",
    marks = { "tokens.input_tokens", "tokens.output_tokens" },
    input = { "tokens.input_tokens" }, output = { "tokens.output_tokens" },
    total = {}, cache_read = { "cached_tokens" }, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "openai_chat",
    marks = { "prompt_tokens", "completion_tokens" },
    input = { "prompt_tokens", "input_tokens" },
    output = { "completion_tokens", "output_tokens" },
    total = { "total_tokens" },
    cache_read = { "prompt_tokens_details.cached_tokens", "prompt_cache_hit_tokens",
                   "cached_tokens", "num_cached_tokens", "cache_read_input_tokens",
                   "input_tokens_details.cached_tokens" },
    cache_write = { "prompt_tokens_details.cache_write_tokens",
                    "prompt_tokens_details.cache_creation_tokens",
                    "prompt_tokens_details.cached_creation_tokens",
                    "prompt_tokens_details.cache_creation_input_tokens",
                    { "prompt_tokens_details.cache_creation.ephemeral_5m_input_tokens",
                      "prompt_tokens_details.cache_creation.ephemeral_1h_input_tokens" },
                    { "prompt_tokens_details.cache_creation_token_details"
                        .. ".ephemeral_5m_input_tokens",
                      "prompt_tokens_details.cache_creation_token_details"
                        .. ".ephemeral_1h_input_tokens" },
                    "cache_creation_input_tokens", "cache_write_tokens" },
    reasoning = { "completion_tokens_details.reasoning_tokens", "reasoning_tokens",
                  "output_tokens_details.reasoning_tokens" },
    rest_is_input = { "prompt_audio_seconds", "connector_tokens" },
    cache = "inside", reasoning_is = "inside", by_total = { reasoning = true, cache = true },
  },
  {
    name = "anthropic",
    marks = { "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation" },
    not_marks = { "input_tokens_details" },
    input = { "input_tokens" }, output = { "output_tokens" }, total = { "total_tokens" },
    cache_read = { "cache_read_input_tokens" },
    cache_write = { "cache_creation_input_tokens",
                    { "cache_creation.ephemeral_5m_input_tokens",
                      "cache_creation.ephemeral_1h_input_tokens" } },
    reasoning = { "output_tokens_details.thinking_tokens" },
    cache = "beside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "openai_responses",
    marks = { "input_tokens", "output_tokens" },
    input = { "input_tokens" }, output = { "output_tokens" }, total = { "total_tokens" },
    cache_read = { "input_tokens_details.cached_tokens", "prompt_tokens_details.cached_tokens",
                   "input_token_details.cached_tokens", "cached_tokens",
                   "cache_read_input_tokens" },
    cache_write = { "input_tokens_details.cache_write_tokens",
                    "input_tokens_details.cache_creation_tokens",
                    "input_tokens_details.cached_creation_tokens",
                    "prompt_tokens_details.cache_creation_input_tokens",
                    of_each("x_details", "prompt_tokens_details.cache_creation_input_tokens"),
                    "cache_creation_input_tokens" },
    reasoning = { "output_tokens_details.reasoning_tokens",
                  "output_tokens_details.thinking_tokens", "reasoning_tokens" },
    cache = "inside", reasoning_is = "inside", by_total = { reasoning = true, cache = true },
  },
  {
    name = "dashscope_app",
    marks = { "models.1.input_tokens", "models.1.output_tokens" },
    input = { of_each("models", "input_tokens") }, output = { of_each("models", "output_tokens") },
    total = {}, cache_read = {}, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "total_only",
    marks = { "total_tokens" },
    input = {}, output = {}, total = { "total_tokens" },
    cache_read = {}, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "ollama",
    marks = { "prompt_eval_count", "eval_count" },
    input = { "prompt_eval_count" }, output = { "eval_count" }, total = {},
    cache_read = {}, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "llama_cpp",
    marks = { "tokens_evaluated", "tokens_predicted" },
    input = { "tokens_evaluated" }, output = { "tokens_predicted" }, total = {},
    cache_read = {}, cache_write = {}, reasoning = {},
    cache = "inside", reasoning_is = "inside", by_total = {},
  },
  {
    name = "llama_cpp_timings",
    marks = { "prompt_n", "predicted_n" },
    input = { "prompt_n" }, output = { "predicted_n" }, total = {},
    cache_read = { "cache_n" }, cache_write = {}, reasoning = {},
    cache = "beside", reasoning_is = "inside", by_total = {},
  },
}

-- Members of an event, or of a whole answer, that may be a usage object. "" is the event itself,
-- `[]` every element. `forms`: only these are looked for there. `spare`: taken only if no other
-- place decides between input and output.
shapes.PLACES = {
  { path = "usage" },
  { path = "usageMetadata" },
  { path = "usage_metadata" },
  { path = "response.usage" },
  { path = "response.usageMetadata" },
  { path = "response.meta", forms = { cohere_billed = true, cohere_tokens = true } },
  { path = "interaction.usage" },
  { path = "message.usage" },
  { path = "delta.usage" },
  { path = "metadata.usage" },
  { path = "result.usage" },
  { path = "data.usage" },
  { path = "x_groq.usage" },
  { path = "choices[].usage" },
  { path = "choices[].delta.usage" },
  { path = "choices[].message.usage" },
  { path = "meta", forms = { cohere_billed = true, cohere_tokens = true } },
  { path = "meta_info" },
  { path = "amazon-bedrock-invocationMetrics" },
  { path = "", forms = { ollama = true, llama_cpp = true } },
  { path = "timings", spare = true },
}

-- Paths of endpoints whose answers are no text, so that a total alone is the input.
shapes.WITHOUT_OUTPUT = { "embed", "rerank", "moderation", "classif", "score", "pooling",
                          "multi%-vector" }

-- Paths of endpoints whose answers are text, whatever the name of a deployment or a model in them.
shapes.WITH_OUTPUT = { "/completions$", "/messages$", "/responses$", "generatecontent$",
                       "/converse" }

-- Paths of endpoints that bill no tokens: their answers count a prompt, or cut it into tokens, or
-- judge it for nothing. No usage is missed there, and none is to be estimated.
shapes.WITHOUT_TOKENS = { "count_tokens", "counttokens", "/input_tokens$", "tokenize",
                          "estimate%-token", "/moderations", "/files", "/batches", "/uploads",
                          "/assistants", "/fine_tuning", "/vector_stores", "/conversations",
                          "/containers", "/evals" }

-- What stands in a stream near a usage object or a failure, but in hardly any other event.
shapes.HINTS = { '"usage', '"meta', '_count"', '"timings"', '"tokens_', 'Metrics"' }
shapes.FAILURES = { '"error"', 'ailed"', 'Exception"', '"base_resp"', '"ERROR' }

return shapes
