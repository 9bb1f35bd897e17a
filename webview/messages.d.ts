/**
 * What crosses between the extension and its webview, as schemas: state is pushed in, intents come back. Both sides
 * parse with these. Must not know `vscode`, Node or the DOM.
 */
import { z } from 'zod';
export declare const connectionStatusSchema: z.ZodEnum<{
    failed: "failed";
    connecting: "connecting";
    connected: "connected";
    "not-installed": "not-installed";
    "not-running": "not-running";
    "not-permitted": "not-permitted";
    "wrong-version": "wrong-version";
}>;
/** Where the extension stands with the helper. */
export type ConnectionStatus = z.infer<typeof connectionStatusSchema>;
export declare const connectionViewSchema: z.ZodObject<{
    status: z.ZodEnum<{
        failed: "failed";
        connecting: "connecting";
        connected: "connected";
        "not-installed": "not-installed";
        "not-running": "not-running";
        "not-permitted": "not-permitted";
        "wrong-version": "wrong-version";
    }>;
    title: z.ZodString;
    message: z.ZodString;
    command: z.ZodOptional<z.ZodString>;
    action: z.ZodOptional<z.ZodObject<{
        id: z.ZodEnum<{
            "start-helper": "start-helper";
            "restart-helper": "restart-helper";
            reconnect: "reconnect";
            "open-walkthrough": "open-walkthrough";
            "fix-permission": "fix-permission";
        }>;
        label: z.ZodString;
    }, z.core.$strip>>;
}, z.core.$strip>;
/** A connection state in words, with the next step. */
export type ConnectionView = z.infer<typeof connectionViewSchema>;
export declare const rewindPreviewSchema: z.ZodObject<{
    restorable: z.ZodBoolean;
    reason: z.ZodString;
    changes: z.ZodArray<z.ZodObject<{
        path: z.ZodString;
        change: z.ZodEnum<{
            added: "added";
            changed: "changed";
            removed: "removed";
        }>;
        kind: z.ZodEnum<{
            file: "file";
            directory: "directory";
            symlink: "symlink";
            other: "other";
        }>;
        sizeBytes: z.ZodNumber;
        agentState: z.ZodOptional<z.ZodBoolean>;
    }, z.core.$strip>>;
    truncated: z.ZodBoolean;
    processesBack: z.ZodArray<z.ZodObject<{
        pid: z.ZodNumber;
        command: z.ZodString;
        ports: z.ZodArray<z.ZodNumber>;
        startedInTurn: z.ZodBoolean;
        ran: z.ZodBoolean;
    }, z.core.$strip>>;
    processesLost: z.ZodArray<z.ZodObject<{
        pid: z.ZodNumber;
        command: z.ZodString;
        ports: z.ZodArray<z.ZodNumber>;
        startedInTurn: z.ZodBoolean;
        ran: z.ZodBoolean;
    }, z.core.$strip>>;
    outsideChanges: z.ZodArray<z.ZodString>;
    leftTheMachine: z.ZodArray<z.ZodObject<{
        host: z.ZodString;
        port: z.ZodNumber;
        method: z.ZodOptional<z.ZodString>;
        count: z.ZodNumber;
        allowed: z.ZodBoolean;
    }, z.core.$strip>>;
    turnsSetAside: z.ZodArray<z.ZodNumber>;
}, z.core.$strip>;
/** What a rewind would do, as the helper foresees it. */
export type RewindPreview = z.infer<typeof rewindPreviewSchema>;
/** Extension to webview. */
export declare const hostMessageSchema: z.ZodDiscriminatedUnion<[z.ZodObject<{
    type: z.ZodLiteral<"snapshot">;
    connection: z.ZodObject<{
        status: z.ZodEnum<{
            failed: "failed";
            connecting: "connecting";
            connected: "connected";
            "not-installed": "not-installed";
            "not-running": "not-running";
            "not-permitted": "not-permitted";
            "wrong-version": "wrong-version";
        }>;
        title: z.ZodString;
        message: z.ZodString;
        command: z.ZodOptional<z.ZodString>;
        action: z.ZodOptional<z.ZodObject<{
            id: z.ZodEnum<{
                "start-helper": "start-helper";
                "restart-helper": "restart-helper";
                reconnect: "reconnect";
                "open-walkthrough": "open-walkthrough";
                "fix-permission": "fix-permission";
            }>;
            label: z.ZodString;
        }, z.core.$strip>>;
    }, z.core.$strip>;
    state: z.ZodNullable<z.ZodObject<{
        helper: z.ZodObject<{
            version: z.ZodString;
            startedAt: z.ZodNumber;
            features: z.ZodArray<z.ZodObject<{
                name: z.ZodString;
                status: z.ZodEnum<{
                    ok: "ok";
                    degraded: "degraded";
                    missing: "missing";
                }>;
                detail: z.ZodString;
                next: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>>;
        }, z.core.$strip>;
        sessions: z.ZodRecord<z.ZodString, z.ZodObject<{
            id: z.ZodString;
            title: z.ZodString;
            workspace: z.ZodString;
            mount: z.ZodString;
            status: z.ZodEnum<{
                starting: "starting";
                running: "running";
                rewinding: "rewinding";
                branching: "branching";
                stopped: "stopped";
                failed: "failed";
            }>;
            detail: z.ZodOptional<z.ZodString>;
            agent: z.ZodObject<{
                name: z.ZodString;
                status: z.ZodEnum<{
                    starting: "starting";
                    running: "running";
                    stopped: "stopped";
                    failed: "failed";
                    none: "none";
                    thinking: "thinking";
                    finished: "finished";
                }>;
                exitCode: z.ZodOptional<z.ZodNumber>;
                detail: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>;
            origin: z.ZodOptional<z.ZodObject<{
                sessionId: z.ZodString;
                turn: z.ZodNumber;
            }, z.core.$strip>>;
            createdAt: z.ZodNumber;
            head: z.ZodNumber;
            turns: z.ZodArray<z.ZodObject<{
                id: z.ZodNumber;
                parent: z.ZodNullable<z.ZodNumber>;
                kind: z.ZodEnum<{
                    agent: "agent";
                    start: "start";
                    command: "command";
                    rewind: "rewind";
                }>;
                state: z.ZodEnum<{
                    open: "open";
                    closing: "closing";
                    closed: "closed";
                }>;
                label: z.ZodString;
                startedAt: z.ZodNumber;
                endedAt: z.ZodOptional<z.ZodNumber>;
                conversation: z.ZodOptional<z.ZodObject<{
                    text: z.ZodString;
                    toolCalls: z.ZodArray<z.ZodObject<{
                        id: z.ZodString;
                        name: z.ZodString;
                        summary: z.ZodString;
                        input: z.ZodString;
                    }, z.core.$strip>>;
                    model: z.ZodOptional<z.ZodString>;
                    inputTokens: z.ZodOptional<z.ZodNumber>;
                    outputTokens: z.ZodOptional<z.ZodNumber>;
                    error: z.ZodOptional<z.ZodString>;
                }, z.core.$strip>>;
                effects: z.ZodOptional<z.ZodObject<{
                    files: z.ZodObject<{
                        added: z.ZodNumber;
                        changed: z.ZodNumber;
                        removed: z.ZodNumber;
                        entries: z.ZodArray<z.ZodObject<{
                            path: z.ZodString;
                            change: z.ZodEnum<{
                                added: "added";
                                changed: "changed";
                                removed: "removed";
                            }>;
                            kind: z.ZodEnum<{
                                file: "file";
                                directory: "directory";
                                symlink: "symlink";
                                other: "other";
                            }>;
                            sizeBytes: z.ZodNumber;
                            agentState: z.ZodOptional<z.ZodBoolean>;
                        }, z.core.$strip>>;
                        truncated: z.ZodBoolean;
                    }, z.core.$strip>;
                    processes: z.ZodObject<{
                        survivors: z.ZodArray<z.ZodObject<{
                            pid: z.ZodNumber;
                            command: z.ZodString;
                            ports: z.ZodArray<z.ZodNumber>;
                            startedInTurn: z.ZodBoolean;
                            ran: z.ZodBoolean;
                        }, z.core.$strip>>;
                        executed: z.ZodArray<z.ZodObject<{
                            program: z.ZodString;
                            argv: z.ZodArray<z.ZodString>;
                            exitCode: z.ZodOptional<z.ZodNumber>;
                        }, z.core.$strip>>;
                        executedCount: z.ZodNumber;
                    }, z.core.$strip>;
                    network: z.ZodArray<z.ZodObject<{
                        host: z.ZodString;
                        port: z.ZodNumber;
                        method: z.ZodOptional<z.ZodString>;
                        count: z.ZodNumber;
                        allowed: z.ZodBoolean;
                    }, z.core.$strip>>;
                    uncertain: z.ZodArray<z.ZodString>;
                    droppedEvents: z.ZodNumber;
                }, z.core.$strip>>;
                effectClass: z.ZodOptional<z.ZodEnum<{
                    none: "none";
                    files: "files";
                    processes: "processes";
                    full: "full";
                }>>;
                checkpoint: z.ZodOptional<z.ZodObject<{
                    id: z.ZodString;
                    restorable: z.ZodBoolean;
                    reason: z.ZodString;
                    reused: z.ZodBoolean;
                    hasProcesses: z.ZodBoolean;
                    bytesStored: z.ZodNumber;
                    inspectMs: z.ZodNumber;
                    filesMs: z.ZodNumber;
                    processesMs: z.ZodNumber;
                    heldMs: z.ZodNumber;
                    degraded: z.ZodOptional<z.ZodString>;
                }, z.core.$strip>>;
                exitCode: z.ZodOptional<z.ZodNumber>;
            }, z.core.$strip>>;
            degraded: z.ZodArray<z.ZodString>;
            bytesStored: z.ZodNumber;
        }, z.core.$strip>>;
        approvals: z.ZodRecord<z.ZodString, z.ZodObject<{
            id: z.ZodString;
            sessionId: z.ZodString;
            turn: z.ZodNumber;
            askedAt: z.ZodNumber;
            expiresAt: z.ZodNumber;
            rule: z.ZodString;
            subject: z.ZodDiscriminatedUnion<[z.ZodObject<{
                kind: z.ZodLiteral<"exec">;
                program: z.ZodString;
                argv: z.ZodArray<z.ZodString>;
                cwd: z.ZodString;
                pid: z.ZodNumber;
                caution: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>, z.ZodObject<{
                kind: z.ZodLiteral<"network">;
                host: z.ZodString;
                port: z.ZodNumber;
                method: z.ZodString;
            }, z.core.$strip>], "kind">;
            state: z.ZodEnum<{
                allowed: "allowed";
                pending: "pending";
                denied: "denied";
                expired: "expired";
                withdrawn: "withdrawn";
            }>;
            scope: z.ZodOptional<z.ZodEnum<{
                session: "session";
                once: "once";
            }>>;
            answeredBy: z.ZodOptional<z.ZodString>;
            reason: z.ZodOptional<z.ZodString>;
        }, z.core.$strip>>;
        progress: z.ZodRecord<z.ZodString, z.ZodObject<{
            id: z.ZodString;
            sessionId: z.ZodOptional<z.ZodString>;
            label: z.ZodString;
            fraction: z.ZodOptional<z.ZodNumber>;
        }, z.core.$strip>>;
    }, z.core.$strip>>;
    strings: z.ZodRecord<z.ZodString, z.ZodString>;
    canStart: z.ZodBoolean;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"connection">;
    connection: z.ZodObject<{
        status: z.ZodEnum<{
            failed: "failed";
            connecting: "connecting";
            connected: "connected";
            "not-installed": "not-installed";
            "not-running": "not-running";
            "not-permitted": "not-permitted";
            "wrong-version": "wrong-version";
        }>;
        title: z.ZodString;
        message: z.ZodString;
        command: z.ZodOptional<z.ZodString>;
        action: z.ZodOptional<z.ZodObject<{
            id: z.ZodEnum<{
                "start-helper": "start-helper";
                "restart-helper": "restart-helper";
                reconnect: "reconnect";
                "open-walkthrough": "open-walkthrough";
                "fix-permission": "fix-permission";
            }>;
            label: z.ZodString;
        }, z.core.$strip>>;
    }, z.core.$strip>;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"action">;
    action: z.ZodDiscriminatedUnion<[z.ZodObject<{
        type: z.ZodLiteral<"helper/features">;
        features: z.ZodArray<z.ZodObject<{
            name: z.ZodString;
            status: z.ZodEnum<{
                ok: "ok";
                degraded: "degraded";
                missing: "missing";
            }>;
            detail: z.ZodString;
            next: z.ZodOptional<z.ZodString>;
        }, z.core.$strip>>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"session/added">;
        session: z.ZodObject<{
            id: z.ZodString;
            title: z.ZodString;
            workspace: z.ZodString;
            mount: z.ZodString;
            status: z.ZodEnum<{
                starting: "starting";
                running: "running";
                rewinding: "rewinding";
                branching: "branching";
                stopped: "stopped";
                failed: "failed";
            }>;
            detail: z.ZodOptional<z.ZodString>;
            agent: z.ZodObject<{
                name: z.ZodString;
                status: z.ZodEnum<{
                    starting: "starting";
                    running: "running";
                    stopped: "stopped";
                    failed: "failed";
                    none: "none";
                    thinking: "thinking";
                    finished: "finished";
                }>;
                exitCode: z.ZodOptional<z.ZodNumber>;
                detail: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>;
            origin: z.ZodOptional<z.ZodObject<{
                sessionId: z.ZodString;
                turn: z.ZodNumber;
            }, z.core.$strip>>;
            createdAt: z.ZodNumber;
            head: z.ZodNumber;
            turns: z.ZodArray<z.ZodObject<{
                id: z.ZodNumber;
                parent: z.ZodNullable<z.ZodNumber>;
                kind: z.ZodEnum<{
                    agent: "agent";
                    start: "start";
                    command: "command";
                    rewind: "rewind";
                }>;
                state: z.ZodEnum<{
                    open: "open";
                    closing: "closing";
                    closed: "closed";
                }>;
                label: z.ZodString;
                startedAt: z.ZodNumber;
                endedAt: z.ZodOptional<z.ZodNumber>;
                conversation: z.ZodOptional<z.ZodObject<{
                    text: z.ZodString;
                    toolCalls: z.ZodArray<z.ZodObject<{
                        id: z.ZodString;
                        name: z.ZodString;
                        summary: z.ZodString;
                        input: z.ZodString;
                    }, z.core.$strip>>;
                    model: z.ZodOptional<z.ZodString>;
                    inputTokens: z.ZodOptional<z.ZodNumber>;
                    outputTokens: z.ZodOptional<z.ZodNumber>;
                    error: z.ZodOptional<z.ZodString>;
                }, z.core.$strip>>;
                effects: z.ZodOptional<z.ZodObject<{
                    files: z.ZodObject<{
                        added: z.ZodNumber;
                        changed: z.ZodNumber;
                        removed: z.ZodNumber;
                        entries: z.ZodArray<z.ZodObject<{
                            path: z.ZodString;
                            change: z.ZodEnum<{
                                added: "added";
                                changed: "changed";
                                removed: "removed";
                            }>;
                            kind: z.ZodEnum<{
                                file: "file";
                                directory: "directory";
                                symlink: "symlink";
                                other: "other";
                            }>;
                            sizeBytes: z.ZodNumber;
                            agentState: z.ZodOptional<z.ZodBoolean>;
                        }, z.core.$strip>>;
                        truncated: z.ZodBoolean;
                    }, z.core.$strip>;
                    processes: z.ZodObject<{
                        survivors: z.ZodArray<z.ZodObject<{
                            pid: z.ZodNumber;
                            command: z.ZodString;
                            ports: z.ZodArray<z.ZodNumber>;
                            startedInTurn: z.ZodBoolean;
                            ran: z.ZodBoolean;
                        }, z.core.$strip>>;
                        executed: z.ZodArray<z.ZodObject<{
                            program: z.ZodString;
                            argv: z.ZodArray<z.ZodString>;
                            exitCode: z.ZodOptional<z.ZodNumber>;
                        }, z.core.$strip>>;
                        executedCount: z.ZodNumber;
                    }, z.core.$strip>;
                    network: z.ZodArray<z.ZodObject<{
                        host: z.ZodString;
                        port: z.ZodNumber;
                        method: z.ZodOptional<z.ZodString>;
                        count: z.ZodNumber;
                        allowed: z.ZodBoolean;
                    }, z.core.$strip>>;
                    uncertain: z.ZodArray<z.ZodString>;
                    droppedEvents: z.ZodNumber;
                }, z.core.$strip>>;
                effectClass: z.ZodOptional<z.ZodEnum<{
                    none: "none";
                    files: "files";
                    processes: "processes";
                    full: "full";
                }>>;
                checkpoint: z.ZodOptional<z.ZodObject<{
                    id: z.ZodString;
                    restorable: z.ZodBoolean;
                    reason: z.ZodString;
                    reused: z.ZodBoolean;
                    hasProcesses: z.ZodBoolean;
                    bytesStored: z.ZodNumber;
                    inspectMs: z.ZodNumber;
                    filesMs: z.ZodNumber;
                    processesMs: z.ZodNumber;
                    heldMs: z.ZodNumber;
                    degraded: z.ZodOptional<z.ZodString>;
                }, z.core.$strip>>;
                exitCode: z.ZodOptional<z.ZodNumber>;
            }, z.core.$strip>>;
            degraded: z.ZodArray<z.ZodString>;
            bytesStored: z.ZodNumber;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"session/changed">;
        sessionId: z.ZodString;
        patch: z.ZodObject<{
            status: z.ZodOptional<z.ZodEnum<{
                starting: "starting";
                running: "running";
                rewinding: "rewinding";
                branching: "branching";
                stopped: "stopped";
                failed: "failed";
            }>>;
            degraded: z.ZodOptional<z.ZodArray<z.ZodString>>;
            detail: z.ZodOptional<z.ZodOptional<z.ZodString>>;
            title: z.ZodOptional<z.ZodString>;
            workspace: z.ZodOptional<z.ZodString>;
            mount: z.ZodOptional<z.ZodString>;
            origin: z.ZodOptional<z.ZodOptional<z.ZodObject<{
                sessionId: z.ZodString;
                turn: z.ZodNumber;
            }, z.core.$strip>>>;
            createdAt: z.ZodOptional<z.ZodNumber>;
            bytesStored: z.ZodOptional<z.ZodNumber>;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"session/removed">;
        sessionId: z.ZodString;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"agent/changed">;
        sessionId: z.ZodString;
        agent: z.ZodObject<{
            name: z.ZodString;
            status: z.ZodEnum<{
                starting: "starting";
                running: "running";
                stopped: "stopped";
                failed: "failed";
                none: "none";
                thinking: "thinking";
                finished: "finished";
            }>;
            exitCode: z.ZodOptional<z.ZodNumber>;
            detail: z.ZodOptional<z.ZodString>;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"head/moved">;
        sessionId: z.ZodString;
        head: z.ZodNumber;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"turn/set">;
        sessionId: z.ZodString;
        turn: z.ZodObject<{
            id: z.ZodNumber;
            parent: z.ZodNullable<z.ZodNumber>;
            kind: z.ZodEnum<{
                agent: "agent";
                start: "start";
                command: "command";
                rewind: "rewind";
            }>;
            state: z.ZodEnum<{
                open: "open";
                closing: "closing";
                closed: "closed";
            }>;
            label: z.ZodString;
            startedAt: z.ZodNumber;
            endedAt: z.ZodOptional<z.ZodNumber>;
            conversation: z.ZodOptional<z.ZodObject<{
                text: z.ZodString;
                toolCalls: z.ZodArray<z.ZodObject<{
                    id: z.ZodString;
                    name: z.ZodString;
                    summary: z.ZodString;
                    input: z.ZodString;
                }, z.core.$strip>>;
                model: z.ZodOptional<z.ZodString>;
                inputTokens: z.ZodOptional<z.ZodNumber>;
                outputTokens: z.ZodOptional<z.ZodNumber>;
                error: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>>;
            effects: z.ZodOptional<z.ZodObject<{
                files: z.ZodObject<{
                    added: z.ZodNumber;
                    changed: z.ZodNumber;
                    removed: z.ZodNumber;
                    entries: z.ZodArray<z.ZodObject<{
                        path: z.ZodString;
                        change: z.ZodEnum<{
                            added: "added";
                            changed: "changed";
                            removed: "removed";
                        }>;
                        kind: z.ZodEnum<{
                            file: "file";
                            directory: "directory";
                            symlink: "symlink";
                            other: "other";
                        }>;
                        sizeBytes: z.ZodNumber;
                        agentState: z.ZodOptional<z.ZodBoolean>;
                    }, z.core.$strip>>;
                    truncated: z.ZodBoolean;
                }, z.core.$strip>;
                processes: z.ZodObject<{
                    survivors: z.ZodArray<z.ZodObject<{
                        pid: z.ZodNumber;
                        command: z.ZodString;
                        ports: z.ZodArray<z.ZodNumber>;
                        startedInTurn: z.ZodBoolean;
                        ran: z.ZodBoolean;
                    }, z.core.$strip>>;
                    executed: z.ZodArray<z.ZodObject<{
                        program: z.ZodString;
                        argv: z.ZodArray<z.ZodString>;
                        exitCode: z.ZodOptional<z.ZodNumber>;
                    }, z.core.$strip>>;
                    executedCount: z.ZodNumber;
                }, z.core.$strip>;
                network: z.ZodArray<z.ZodObject<{
                    host: z.ZodString;
                    port: z.ZodNumber;
                    method: z.ZodOptional<z.ZodString>;
                    count: z.ZodNumber;
                    allowed: z.ZodBoolean;
                }, z.core.$strip>>;
                uncertain: z.ZodArray<z.ZodString>;
                droppedEvents: z.ZodNumber;
            }, z.core.$strip>>;
            effectClass: z.ZodOptional<z.ZodEnum<{
                none: "none";
                files: "files";
                processes: "processes";
                full: "full";
            }>>;
            checkpoint: z.ZodOptional<z.ZodObject<{
                id: z.ZodString;
                restorable: z.ZodBoolean;
                reason: z.ZodString;
                reused: z.ZodBoolean;
                hasProcesses: z.ZodBoolean;
                bytesStored: z.ZodNumber;
                inspectMs: z.ZodNumber;
                filesMs: z.ZodNumber;
                processesMs: z.ZodNumber;
                heldMs: z.ZodNumber;
                degraded: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>>;
            exitCode: z.ZodOptional<z.ZodNumber>;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"approval/set">;
        approval: z.ZodObject<{
            id: z.ZodString;
            sessionId: z.ZodString;
            turn: z.ZodNumber;
            askedAt: z.ZodNumber;
            expiresAt: z.ZodNumber;
            rule: z.ZodString;
            subject: z.ZodDiscriminatedUnion<[z.ZodObject<{
                kind: z.ZodLiteral<"exec">;
                program: z.ZodString;
                argv: z.ZodArray<z.ZodString>;
                cwd: z.ZodString;
                pid: z.ZodNumber;
                caution: z.ZodOptional<z.ZodString>;
            }, z.core.$strip>, z.ZodObject<{
                kind: z.ZodLiteral<"network">;
                host: z.ZodString;
                port: z.ZodNumber;
                method: z.ZodString;
            }, z.core.$strip>], "kind">;
            state: z.ZodEnum<{
                allowed: "allowed";
                pending: "pending";
                denied: "denied";
                expired: "expired";
                withdrawn: "withdrawn";
            }>;
            scope: z.ZodOptional<z.ZodEnum<{
                session: "session";
                once: "once";
            }>>;
            answeredBy: z.ZodOptional<z.ZodString>;
            reason: z.ZodOptional<z.ZodString>;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"progress/set">;
        progress: z.ZodObject<{
            id: z.ZodString;
            sessionId: z.ZodOptional<z.ZodString>;
            label: z.ZodString;
            fraction: z.ZodOptional<z.ZodNumber>;
        }, z.core.$strip>;
    }, z.core.$strip>, z.ZodObject<{
        type: z.ZodLiteral<"progress/done">;
        id: z.ZodString;
    }, z.core.$strip>], "type">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"show">;
    sessionId: z.ZodString;
    turn: z.ZodNullable<z.ZodNumber>;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"show-approval">;
    approvalId: z.ZodString;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"forecast">;
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    preview: z.ZodOptional<z.ZodObject<{
        restorable: z.ZodBoolean;
        reason: z.ZodString;
        changes: z.ZodArray<z.ZodObject<{
            path: z.ZodString;
            change: z.ZodEnum<{
                added: "added";
                changed: "changed";
                removed: "removed";
            }>;
            kind: z.ZodEnum<{
                file: "file";
                directory: "directory";
                symlink: "symlink";
                other: "other";
            }>;
            sizeBytes: z.ZodNumber;
            agentState: z.ZodOptional<z.ZodBoolean>;
        }, z.core.$strip>>;
        truncated: z.ZodBoolean;
        processesBack: z.ZodArray<z.ZodObject<{
            pid: z.ZodNumber;
            command: z.ZodString;
            ports: z.ZodArray<z.ZodNumber>;
            startedInTurn: z.ZodBoolean;
            ran: z.ZodBoolean;
        }, z.core.$strip>>;
        processesLost: z.ZodArray<z.ZodObject<{
            pid: z.ZodNumber;
            command: z.ZodString;
            ports: z.ZodArray<z.ZodNumber>;
            startedInTurn: z.ZodBoolean;
            ran: z.ZodBoolean;
        }, z.core.$strip>>;
        outsideChanges: z.ZodArray<z.ZodString>;
        leftTheMachine: z.ZodArray<z.ZodObject<{
            host: z.ZodString;
            port: z.ZodNumber;
            method: z.ZodOptional<z.ZodString>;
            count: z.ZodNumber;
            allowed: z.ZodBoolean;
        }, z.core.$strip>>;
        turnsSetAside: z.ZodArray<z.ZodNumber>;
    }, z.core.$strip>>;
    error: z.ZodOptional<z.ZodString>;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"changes">;
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    changes: z.ZodArray<z.ZodObject<{
        path: z.ZodString;
        change: z.ZodEnum<{
            added: "added";
            changed: "changed";
            removed: "removed";
        }>;
        kind: z.ZodEnum<{
            file: "file";
            directory: "directory";
            symlink: "symlink";
            other: "other";
        }>;
        sizeBytes: z.ZodNumber;
        agentState: z.ZodOptional<z.ZodBoolean>;
    }, z.core.$strip>>;
    truncated: z.ZodBoolean;
    error: z.ZodOptional<z.ZodString>;
}, z.core.$strip>], "type">;
export type HostMessage = z.infer<typeof hostMessageSchema>;
/** Webview to extension. */
export declare const intentSchema: z.ZodDiscriminatedUnion<[z.ZodObject<{
    type: z.ZodLiteral<"ready">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"selected">;
    sessionId: z.ZodNullable<z.ZodString>;
    turn: z.ZodNullable<z.ZodNumber>;
}, z.core.$strip>, z.ZodObject<{
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    type: z.ZodLiteral<"rewind">;
}, z.core.$strip>, z.ZodObject<{
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    type: z.ZodLiteral<"branch">;
}, z.core.$strip>, z.ZodObject<{
    path: z.ZodOptional<z.ZodString>;
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    type: z.ZodLiteral<"diff">;
}, z.core.$strip>, z.ZodObject<{
    sessionId: z.ZodString;
    turn: z.ZodNumber;
    type: z.ZodLiteral<"all-changes">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"answer">;
    approvalId: z.ZodString;
    decision: z.ZodEnum<{
        allow: "allow";
        deny: "deny";
    }>;
    scope: z.ZodEnum<{
        session: "session";
        once: "once";
    }>;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"session">;
    sessionId: z.ZodString;
    verb: z.ZodEnum<{
        prompt: "prompt";
        resume: "resume";
        terminal: "terminal";
        apply: "apply";
        "open-folder": "open-folder";
        stop: "stop";
        remove: "remove";
    }>;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"start-session">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"open-wide">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"connection-action">;
}, z.core.$strip>, z.ZodObject<{
    type: z.ZodLiteral<"copy">;
    text: z.ZodString;
}, z.core.$strip>], "type">;
export type Intent = z.infer<typeof intentSchema>;
export declare const savedViewSchema: z.ZodObject<{
    sessionId: z.ZodNullable<z.ZodString>;
    turn: z.ZodNullable<z.ZodNumber>;
}, z.core.$strip>;
/** What a webview keeps over a reload: where the person was. */
export type SavedView = z.infer<typeof savedViewSchema>;
