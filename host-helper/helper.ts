/**
 * The helper's composition: every part is made here once and handed to those that need it. Nothing else knows all parts.
 */

import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { agentProfiles } from './agents/profiles.ts';
import { createAuthority } from './authority/authority.ts';
import { createEngine } from './engine/engine.ts';
import { SentryKeeper } from './inspector/sentry-keeper.ts';
import { startSentry } from './inspector/sentry-process.ts';
import type { Sentry } from './inspector/sentry.ts';
import type { Logger } from './log.ts';
import { emptyState } from './protocol/reducer.ts';
import { createOciBackend } from './sandbox/oci/backend.ts';
import { markChildren, waitForCommands } from './sandbox/oci/left-running.ts';
import { removeHiddenLayers } from './sandbox/oci/roots.ts';
import { takeProcessLock } from './server/process-lock.ts';
import { createServer, type HelperServer } from './server/server.ts';
import { createStateFeed } from './server/state-feed.ts';
import { checkpointPolicyFrom } from './session/checkpoint-policy.ts';
import { createHandlers } from './session/handlers.ts';
import { watchLoopDelay } from './session/loop-delay.ts';
import type { SessionParts } from './session/parts.ts';
import { SessionRegistry } from './session/registry.ts';
import { Housekeeping } from './session/housekeeping.ts';
import { hostFeatures } from './session/host-features.ts';
import { loadRetention } from './session/retention.ts';
import { openStore } from './store/open-store.ts';
import { startScriptedModel } from './demo/scripted-model.ts';
import { sampleScripts } from './demo/sample-script.ts';
import { upstreamByName } from './turns/upstreams.ts';
import { loadRules } from './authority/rules-file.ts';
import { createApprovals } from './authority/approvals.ts';
import { openAuditLog } from './authority/audit.ts';
import { outerProxiesFrom } from './authority/outer-proxy.ts';

export interface HelperOptions {
  readonly version: string;
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly group: string | undefined;
  readonly tcpPort: number | undefined;
  readonly binDirectory: string;
  readonly criu: string | undefined;
  readonly rulesPath: string;
  readonly retentionPath: string;
  /** Default: those that ship. */
  readonly profiles?: SessionParts['profiles'];
  readonly agents: SessionParts['agents'];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

export interface Helper {
  readonly server: HelperServer;
  /** What recovery did, in words. */
  readonly recovered: readonly string[];
  /** Settles when a client asked the helper to stop; tells whether sessions end too. */
  readonly stopAsked: Promise<boolean>;
  close(endSessions: boolean): Promise<void>;
}

/** Starts everything; throws with everything down again. */
export async function startHelper(options: HelperOptions): Promise<Helper> {
  const { logger, stateDirectory, profiles = agentProfiles } = options;
  const checkpoints = checkpointPolicyFrom(options.env);
  await mkdir(stateDirectory, { recursive: true, mode: 0o750 });
  await using cleanup = new AsyncDisposableStack();
  // Before anything is opened or recovered: a second helper must not touch what the first one is using.
  cleanup.use(await takeProcessLock(join(stateDirectory, 'helper.lock')));
  markChildren(stateDirectory);
  await waitForCommands(stateDirectory, logger);

  // The slowest parts of the start first, side by side: whether sandboxes work here, and the sentry's tests of itself.
  const backend = createOciBackend({
    stateDirectory,
    runc: 'runc',
    criu: options.criu,
    supervisorPath: join(options.binDirectory, 'supervisor'),
    logger: logger.child('sandbox'),
  });
  const launchSentry = (): Promise<Sentry> =>
    startSentry({
      binaryPath: join(options.binDirectory, 'sentry'),
      stateDir: stateDirectory,
      log: logger.child('sentry'),
    });
  let firstSentry: Promise<Sentry> | undefined = launchSentry();
  firstSentry.catch(() => {});
  cleanup.defer(async () => (await firstSentry?.catch(() => undefined))?.close());
  const probing = backend.probe();
  probing.catch(() => {});

  const feed = createStateFeed(emptyState(options.version, Date.now()), logger);
  const dispatch = feed.dispatch.bind(feed);
  const retention = await loadRetention(options.retentionPath);
  const store = await openStore({
    directory: join(stateDirectory, 'store'),
    treefsPath: join(options.binDirectory, 'treefs'),
    logger: logger.child('store'),
    limits: retention,
  });
  cleanup.defer(() => store.close());
  const audit = await openAuditLog(stateDirectory);
  cleanup.use(audit);
  const approvals = createApprovals({
    dispatch: (approval) => dispatch({ type: 'approval/set', approval }),
    audit,
    logger: logger.child('approvals'),
  });
  cleanup.defer(() => approvals.close());
  const authority = createAuthority({
    approvals,
    audit,
    rules: await loadRules(options.rulesPath),
    outerProxies: outerProxiesFrom(options.env),
    logger: logger.child('authority'),
  });
  const engine = createEngine({
    mode: options.env['TURNTABLE_ENGINE'] === 'off' ? 'off' : 'on',
    logger: logger.child('engine'),
  });
  cleanup.defer(() => engine.close());
  const probe = await probing;
  const model = await startScriptedModel({ scripts: sampleScripts });
  cleanup.defer(() => model.close());

  const parts: SessionParts = {
    stateDirectory,
    backend,
    store,
    engine,
    authority,
    sentry: () => keeper.current,
    noDump: () => probe.dump,
    checkpoints,
    profiles,
    agents: options.agents,
    upstream: (name, env) => Promise.resolve(upstreamByName(name, { ...options.env, ...env }, model.url)),
    makeRoom: () => housekeeping.makeRoom(),
    collect: () => housekeeping.collect(),
    dispatch,
    state: () => feed.state,
    logger,
  };
  const registry = new SessionRegistry(parts);
  const housekeeping = new Housekeeping({
    store,
    engine,
    retention,
    sessions: () => registry.all,
    logger: logger.child('housekeeping'),
  });
  cleanup.use(housekeeping);
  const features = () =>
    hostFeatures({
      probe,
      sentry: keeper.current,
      agents: options.agents,
      profiles,
      stateDirectory,
      storeBytes: store.usage().storeBytes,
      engine: engine.stats(),
    });
  const showFeatures = async (): Promise<void> =>
    dispatch({ type: 'helper/features', features: await features() });

  const keeper = new SentryKeeper({
    start: () => {
      const started = firstSentry ?? launchSentry();
      firstSentry = undefined;
      return started;
    },
    onReady: async (sentry, first) => {
      answerExecs(registry, sentry);
      sentry.onExecKilled((event) => {
        const session = registry.all.find((each) => each.hasRuntime && each.runtime.watch === event.sandbox);
        logger.warn('a program that was not what had been approved was killed', event);
        if (session) authority.execKilled(session.id, event);
      });
      if (!first) await registry.sentryReplaced();
      await showFeatures();
    },
    onLost: (detail) => {
      logger.error('the sentry died; guarded programs cannot start until it is back', { detail });
      void showFeatures();
    },
    logger: logger.child('sentry'),
  });
  cleanup.use(keeper);
  await keeper.start().catch((error: unknown) => logger.error('the sentry does not start', { error }));
  await showFeatures();

  const recovered =
    probe.run === undefined ? await registry.recover() : [`sandboxes cannot run here: ${probe.run}`];
  for (const note of recovered) logger.info('recovery', { note });
  housekeeping.showDamage();
  housekeeping.start();

  const loopDelay = cleanup.use(watchLoopDelay());
  const stopAsked = Promise.withResolvers<boolean>();
  const server = await createServer({
    socketPath: options.socketPath,
    ownDirectory: dirname(options.socketPath) === stateDirectory,
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.tcpPort === undefined
      ? {}
      : { tcp: { port: options.tcpPort, tokenFile: join(stateDirectory, 'token') } }),
    handlers: createHandlers({
      parts,
      registry,
      housekeeping,
      features,
      loopDelay,
      stop: (sessions) => stopAsked.resolve(sessions),
    }),
    feed,
    logger,
  });

  const resources = cleanup.move();
  return {
    server,
    recovered,
    stopAsked: stopAsked.promise,
    close: async (endSessions) => {
      await registry.close(endSessions);
      await server.close();
      await resources.disposeAsync();
      if (endSessions) await removeHiddenLayers(stateDirectory);
    },
  };
}

function answerExecs(registry: SessionRegistry, sentry: Parameters<SessionRegistry['answerExec']>[1]): void {
  const waiting = new Map<bigint, AbortController>();
  sentry.onExecAsk((ask) => {
    const gone = new AbortController();
    waiting.set(ask.ask, gone);
    void registry.answerExec(ask, sentry, gone.signal).finally(() => waiting.delete(ask.ask));
  });
  sentry.onExecAskGone((ask) => waiting.get(ask)?.abort());
}
