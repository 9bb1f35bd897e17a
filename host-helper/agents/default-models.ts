/**
 * The model an agent asks for when nobody chose one. Only a name: which models exist is the provider's business.
 */

import type { WireFormat } from '../turns/model-endpoint.ts';

export const defaultModels: Readonly<Record<WireFormat, string>> = {
  'openai-chat': 'gpt-5',
  'openai-responses': 'gpt-5',
  'anthropic-messages': 'claude-sonnet-4-5',
  gemini: 'gemini-2.5-pro',
};
