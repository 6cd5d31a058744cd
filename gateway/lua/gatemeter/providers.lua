-- Where each provider reports usage, by endpoint, according to its own documents or sources: one
-- row each. The table in gateway/README.md is made of these rows, and tests/shapes.txt has samples
-- for each. Data only: it must never claim what its source does not.
local providers = {}

-- When the sources were read, but for rows that say it themselves.
providers.CHECKED = "2026-11-28"

-- What each provider reports at which endpoint. `sample`: how its samples begin in
-- tests/shapes.txt. `also`: a second source, for what the first does not say.
providers.ROWS = {
  {
    provider = "OpenAI", endpoint = "chat completions",
    stands = "`usage`; in a stream in the last chunk, if asked",
    input = "`prompt_tokens`, cache reads and writes inside",
    output = "`completion_tokens`, reasoning inside",
    form = "openai_chat", sample = "OpenAI chat",
    source = "https://github.com/openai/openai-python/blob/main/src/openai/types/chat/"
      .. "chat_completion_chunk.py",
    also = "https://developers.openai.com/api/docs/guides/prompt-caching",
    checked = "2026-11-29",
  },
  {
    provider = "OpenAI", endpoint = "completions",
    stands = "`usage`; in a stream in the last chunk, if asked",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "OpenAI completions",
    source = "https://github.com/openai/openai-node/blob/master/src/resources/completions.ts",
    checked = "2026-11-29",
  },
  {
    provider = "OpenAI", endpoint = "responses",
    stands = "`usage`; in a stream `response.usage` of the last event: `response.completed`, "
      .. "`response.incomplete`, `response.failed`",
    input = "`input_tokens`, cache reads and writes inside",
    output = "`output_tokens`, reasoning inside",
    form = "openai_responses", sample = "OpenAI responses",
    source = "https://github.com/openai/openai-python/blob/main/src/openai/types/responses/"
      .. "response_usage.py",
    also = "https://developers.openai.com/api/docs/guides/prompt-caching",
    checked = "2026-11-29",
  },
  {
    provider = "OpenAI", endpoint = "embeddings",
    stands = "`usage`",
    input = "`prompt_tokens`",
    output = "none",
    form = "openai_chat", sample = "OpenAI embeddings",
    source = "https://github.com/openai/openai-python/blob/main/src/openai/types/"
      .. "create_embedding_response.py",
  },
  {
    provider = "OpenAI", endpoint = "images",
    stands = "`usage`, before or behind the pictures; in a stream in `image_generation.completed`",
    input = "`input_tokens`, text and pictures",
    output = "`output_tokens`, the pictures",
    form = "openai_responses", sample = "OpenAI images",
    source = "https://github.com/openai/openai-python/blob/main/src/openai/types/"
      .. "images_response.py",
  },
  {
    provider = "OpenAI", endpoint = "audio transcriptions",
    stands = "`usage` of type `tokens`; of type `duration` it has seconds and no tokens",
    input = "`input_tokens`, text and sound",
    output = "`output_tokens`",
    form = "openai_responses", sample = "OpenAI transcription",
    source = "https://github.com/openai/openai-dotnet/blob/main/specification/base/typespec/audio/"
      .. "usage.models.tsp",
    checked = "2026-11-29",
  },
  {
    provider = "OpenAI", endpoint = "audio speech",
    stands = "in a stream `usage` of `speech.audio.done`; else none",
    input = "`input_tokens`",
    output = "`output_tokens`",
    form = "openai_responses", sample = "OpenAI speech",
    source = "https://platform.openai.com/docs/api-reference/audio/speech-audio-done-event",
    checked = "2026-11-29",
  },
  {
    provider = "OpenAI", endpoint = "moderations",
    stands = "nowhere",
    input = "unknown",
    output = "unknown",
    form = "none", sample = "OpenAI moderation",
    source = "https://github.com/openai/openai-python/blob/main/src/openai/types/"
      .. "moderation_create_response.py",
  },
  {
    provider = "Azure OpenAI", endpoint = "chat completions",
    stands = "as OpenAI; the first chunk has no choice and no model",
    input = "as OpenAI",
    output = "as OpenAI",
    form = "openai_chat", sample = "Azure chat",
    source = "https://github.com/Azure/azure-rest-api-specs/blob/main/specification/"
      .. "cognitiveservices/data-plane/AzureOpenAI/inference/stable/2024-10-21/inference.json",
    also = "https://learn.microsoft.com/azure/ai-services/openai/reference",
    checked = "2026-11-29",
  },
  {
    provider = "Anthropic", endpoint = "messages",
    stands = "`usage`; in a stream `message.usage` of `message_start`, whose output is a "
      .. "placeholder, then `usage` of each `message_delta`, cumulative",
    input = "`input_tokens` + `cache_read_input_tokens` + `cache_creation_input_tokens`",
    output = "`output_tokens`, thinking inside",
    form = "anthropic", sample = "Anthropic messages",
    source = "https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/"
      .. "types/usage.py",
    checked = "2026-11-29",
  },
  {
    provider = "Anthropic", endpoint = "messages with compaction",
    stands = "`usage.iterations`, the rounds; those of type `compaction` are not in the sums above",
    input = "sum of the rounds",
    output = "sum of the rounds",
    form = "anthropic", sample = "Anthropic messages with a compaction",
    source = "https://platform.claude.com/docs/en/build-with-claude/compaction-threshold",
  },
  {
    provider = "Anthropic", endpoint = "messages with an advisor or a fallback",
    stands = "`usage.iterations`, the rounds; the sums above have the output of rounds of type "
      .. "`message`, and of the input the first alone",
    input = "sum of the rounds",
    output = "sum of the rounds",
    form = "anthropic", sample = "Anthropic messages with an advisor",
    source = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool",
    also = "https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/types/beta/"
      .. "beta_iterations_usage.py",
    checked = "2026-11-29",
  },
  {
    provider = "Anthropic", endpoint = "count_tokens",
    stands = "nowhere: the answer is a count, and nothing is billed",
    input = "none",
    output = "none",
    form = "none", sample = "Anthropic count_tokens",
    source = "https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/"
      .. "types/message_tokens_count.py",
  },
  {
    provider = "Gemini", endpoint = "generateContent, streamGenerateContent (events or an array)",
    stands = "`usageMetadata` of each chunk, cumulative",
    input = "`promptTokenCount`, cache inside, + `toolUsePromptTokenCount`",
    output = "`candidatesTokenCount` + `thoughtsTokenCount`",
    form = "gemini", sample = "Gemini generateContent",
    source = "https://ai.google.dev/api/generate-content#UsageMetadata",
  },
  {
    provider = "Gemini", endpoint = "interactions",
    stands = "`usage`; in a stream `interaction.usage` of the last event",
    input = "`total_input_tokens` + `total_tool_use_tokens`, cache inside",
    output = "`total_output_tokens` + `total_thought_tokens`, as the total proves",
    form = "gemini_interactions", sample = "Gemini interactions",
    source = "https://github.com/googleapis/python-genai/blob/main/google/genai/_interactions/"
      .. "types/usage.py",
    checked = "2026-11-29",
  },
  {
    provider = "Gemini", endpoint = "OpenAI endpoint",
    stands = "`usage`",
    input = "`prompt_tokens`",
    output = "`total_tokens` - `prompt_tokens`: thoughts are in the total alone",
    form = "openai_chat", sample = "Gemini OpenAI endpoint",
    source = "https://discuss.ai.google.dev/t/question-with-usage-in-openai-compatibility/98760",
  },
  {
    provider = "Bedrock", endpoint = "Converse (JSON)",
    stands = "`usage`",
    input = "`inputTokens` + `cacheReadInputTokens` + `cacheWriteInputTokens`",
    output = "`outputTokens`",
    form = "bedrock", sample = "Bedrock Converse",
    source = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html",
    also = "https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html",
    checked = "2026-11-29",
  },
  {
    provider = "Bedrock", endpoint = "InvokeModel (Anthropic)",
    stands = "as Anthropic, and `amazon-bedrock-invocationMetrics` of the last event",
    input = "as Anthropic",
    output = "as Anthropic",
    form = "bedrock_metrics", sample = "Bedrock InvokeModel",
    source = "https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html",
    checked = "2026-11-29",
  },
  {
    provider = "DeepSeek", endpoint = "chat completions",
    stands = "as OpenAI, behind blank lines or comments while a request waits",
    input = "`prompt_tokens` = `prompt_cache_hit_tokens` + `prompt_cache_miss_tokens`",
    output = "`completion_tokens`, reasoning inside",
    form = "openai_chat", sample = "DeepSeek chat",
    source = "https://api-docs.deepseek.com/api/create-chat-completion",
    checked = "2026-11-29",
  },
  {
    provider = "Moonshot (Kimi)", endpoint = "chat completions",
    stands = "`usage`; in a stream in the last chunk, if asked, and `choices[0].usage` of the "
      .. "last choice",
    input = "`prompt_tokens`, `cached_tokens` inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Moonshot chat",
    source = "https://platform.moonshot.cn/docs/api/chat",
    checked = "2026-11-29",
  },
  {
    provider = "Groq", endpoint = "chat completions",
    stands = "`usage`; in a stream `x_groq.usage` of the last chunk",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`, reasoning inside",
    form = "openai_chat", sample = "Groq chat",
    source = "https://github.com/groq/groq-python/blob/main/src/groq/types/chat/"
      .. "chat_completion_chunk.py",
    also = "https://console.groq.com/docs/prompt-caching",
    checked = "2026-11-29",
  },
  {
    provider = "xAI", endpoint = "chat completions",
    stands = "as OpenAI",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens` + `reasoning_tokens`, which stand beside: the total has "
      .. "all three",
    form = "openai_chat", sample = "xAI chat",
    source = "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/grok/"
      .. "capabilities/reasoning",
  },
  {
    provider = "xAI", endpoint = "responses",
    stands = "as OpenAI",
    input = "`input_tokens`, cache inside",
    output = "`output_tokens`",
    form = "openai_responses", sample = "xAI responses",
    source = "https://docs.x.ai/developers/advanced-api-usage/prompt-caching/usage-and-pricing",
  },
  {
    provider = "Mistral", endpoint = "chat completions",
    stands = "`usage`; in a stream in the last chunk, unasked",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Mistral chat",
    source = "https://github.com/mistralai/client-python/blob/main/src/mistralai/client/"
      .. "models/usageinfo.py",
    checked = "2026-11-29",
  },
  {
    provider = "Mistral", endpoint = "audio transcriptions",
    stands = "`usage`; in a stream of `transcription.done`",
    input = "`prompt_tokens` + what the total has above both sides: sound, where "
      .. "`prompt_audio_seconds` reports some",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Mistral transcription",
    source = "https://github.com/mistralai/client-python/blob/main/src/mistralai/client/"
      .. "models/usageinfo.py",
    checked = "2026-11-29",
  },
  {
    provider = "Mistral", endpoint = "conversations",
    stands = "`usage`; in a stream of `conversation.response.done`",
    input = "`prompt_tokens` + `connector_tokens`, what tools have put in, as the total proves",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Mistral conversation",
    source = "https://github.com/mistralai/client-python/blob/main/src/mistralai/client/"
      .. "models/conversationusageinfo.py",
    checked = "2026-11-29",
  },
  {
    provider = "Cohere", endpoint = "chat v2",
    stands = "`usage.billed_units`; in a stream `delta.usage` of `message-end`",
    input = "`input_tokens` as billed; `usage.tokens`, which counts Cohere's own template "
      .. "too, only without it; `cached_tokens` are of the prompt with the template",
    output = "`output_tokens` as billed",
    form = "cohere_billed", sample = "Cohere chat",
    source = "https://docs.cohere.com/v2/docs/how-does-cohere-pricing-work",
    also = "https://github.com/cohere-ai/cohere-python/blob/main/src/cohere/types/usage.py",
    checked = "2026-11-29",
  },
  {
    provider = "Cohere", endpoint = "chat v1, embed, rerank",
    stands = "`meta.billed_units`; rerank reports search units there and no tokens",
    input = "`input_tokens` + `image_tokens` as billed",
    output = "`output_tokens` as billed; none for embed",
    form = "cohere_billed", sample = "Cohere embed",
    source = "https://github.com/cohere-ai/cohere-python/blob/main/src/cohere/types/"
      .. "api_meta_billed_units.py",
    checked = "2026-11-29",
  },
  {
    provider = "Voyage", endpoint = "embeddings, multimodal, rerank",
    stands = "`usage`",
    input = "`total_tokens`",
    output = "none",
    form = "total_only", sample = "Voyage embeddings",
    source = "https://github.com/voyage-ai/voyageai-python/blob/main/voyageai/object/"
      .. "embeddings.py",
  },
  {
    provider = "Jina", endpoint = "embeddings, rerank",
    stands = "`usage`",
    input = "`total_tokens`",
    output = "none",
    form = "total_only", sample = "Jina rerank",
    source = "https://developers.llamaindex.ai/typescript/framework-api-reference/"
      .. "type-aliases/jinaembeddingresponse",
  },
  {
    provider = "Qwen (DashScope)", endpoint = "generation",
    stands = "`usage` beside `output`; in a stream of each event, cumulative",
    input = "`input_tokens`, cache and pictures inside",
    output = "`output_tokens`, reasoning inside",
    form = "openai_responses", sample = "DashScope generation",
    source = "https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-dashscope",
    also = "https://www.alibabacloud.com/help/en/model-studio/context-cache",
    checked = "2026-11-29",
  },
  {
    provider = "Qwen (DashScope)", endpoint = "applications",
    stands = "`usage.models`, of each model",
    input = "sum of `input_tokens`",
    output = "sum of `output_tokens`",
    form = "dashscope_app", sample = "DashScope application",
    source = "https://github.com/dashscope/dashscope-sdk-python/blob/main/dashscope/app/"
      .. "application_response.py",
    checked = "2026-11-29",
  },
  {
    provider = "Qwen (DashScope)", endpoint = "embeddings",
    stands = "`usage`",
    input = "`total_tokens`",
    output = "none",
    form = "total_only", sample = "DashScope embeddings",
    source = "https://www.alibabacloud.com/help/en/model-studio/text-embedding-synchronous-api",
  },
  {
    provider = "Qwen (DashScope)", endpoint = "compatible mode",
    stands = "as OpenAI",
    input = "`prompt_tokens`, cache inside, reads and writes apart; writes as "
      .. "`prompt_tokens_details.cache_creation_input_tokens`",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Qwen compatible mode",
    source = "https://www.alibabacloud.com/help/en/model-studio/context-cache",
    checked = "2026-11-29",
  },
  {
    provider = "Qwen (DashScope)", endpoint = "responses (compatible mode)",
    stands = "as OpenAI; cache writes in `usage.x_details`",
    input = "`input_tokens`, cache inside, writes as "
      .. "`x_details[].prompt_tokens_details.cache_creation_input_tokens`",
    output = "`output_tokens`, reasoning inside",
    form = "openai_responses", sample = "Qwen responses",
    source = "https://www.alibabacloud.com/help/en/model-studio/context-cache",
    checked = "2026-11-29",
  },
  {
    provider = "Zhipu (GLM)", endpoint = "chat completions",
    stands = "as OpenAI; in a stream in the last chunk, unasked",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "Zhipu chat",
    source = "https://docs.bigmodel.cn/api-reference/response/%E5%88%9B%E5%BB%BA-response",
  },
  {
    provider = "Zhipu (GLM)", endpoint = "Anthropic endpoint",
    stands = "as Anthropic; counts may have fractions",
    input = "as Anthropic",
    output = "as Anthropic",
    form = "anthropic", sample = "Zhipu Anthropic endpoint",
    source = "https://github.com/QuantumNous/new-api/issues/1545",
  },
  {
    provider = "MiniMax", endpoint = "chat completions, responses",
    stands = "as OpenAI; an error is a `base_resp.status_code` that is not 0",
    input = "as OpenAI",
    output = "as OpenAI",
    form = "openai_chat", sample = "MiniMax chat",
    source = "https://platform.minimaxi.com/docs/api-reference/responses-create",
  },
  {
    provider = "OpenRouter", endpoint = "chat completions",
    stands = "as OpenAI, unasked",
    input = "`prompt_tokens`, cache inside, writes as `cache_write_tokens`",
    output = "`completion_tokens`, reasoning inside",
    form = "openai_chat", sample = "OpenRouter chat",
    source = "https://openrouter.ai/docs/use-cases/usage-accounting",
  },
  {
    provider = "Ollama", endpoint = "chat, generate, embed",
    stands = "the last line of NDJSON, or the body itself",
    input = "`prompt_eval_count`",
    output = "`eval_count`",
    form = "ollama", sample = "Ollama chat",
    source = "https://github.com/ollama/ollama/blob/main/docs/api/usage.mdx",
  },
  {
    provider = "vLLM", endpoint = "chat completions and the other OpenAI endpoints",
    stands = "as OpenAI; with `continuous_usage_stats` in each chunk, cumulative",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "vLLM chat",
    source = "https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/engine/"
      .. "protocol.py",
  },
  {
    provider = "SGLang", endpoint = "chat completions",
    stands = "as OpenAI",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`, `reasoning_tokens` at the top and inside",
    form = "openai_chat", sample = "SGLang chat",
    source = "https://github.com/sgl-project/sglang/blob/main/python/sglang/srt/entrypoints/"
      .. "openai/usage_processor.py",
    checked = "2026-11-29",
  },
  {
    provider = "SGLang", endpoint = "generate",
    stands = "`meta_info`; of a batch that of each answer, added up",
    input = "`prompt_tokens`, `cached_tokens` inside",
    output = "`completion_tokens`",
    form = "openai_chat", sample = "SGLang generate",
    source = "https://github.com/sgl-project/sglang/blob/main/python/sglang/srt/entrypoints/"
      .. "openai/usage_processor.py",
    checked = "2026-11-29",
  },
  {
    provider = "llama.cpp", endpoint = "chat completions",
    stands = "as OpenAI; without it `timings` of the last chunk",
    input = "`prompt_tokens`; in `timings` `cache_n` + `prompt_n`",
    output = "`completion_tokens`; in `timings` `predicted_n`",
    form = "llama_cpp_timings", sample = "llama.cpp chat",
    source = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
  },
  {
    provider = "llama.cpp", endpoint = "completion",
    stands = "the last event, or the body itself; of a batch that of each answer, added up",
    input = "`tokens_evaluated`, cache inside",
    output = "`tokens_predicted`",
    form = "llama_cpp", sample = "llama.cpp completion",
    source = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
  },
  {
    provider = "LiteLLM proxy", endpoint = "chat completions",
    stands = "as OpenAI, with Anthropic's cache counts beside the details",
    input = "`prompt_tokens`, cache inside",
    output = "`completion_tokens`, reasoning inside",
    form = "openai_chat", sample = "LiteLLM proxy",
    source = "https://github.com/BerriAI/litellm/blob/main/litellm/types/utils.py",
  },
}

return providers
