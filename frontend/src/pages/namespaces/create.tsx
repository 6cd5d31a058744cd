// The form for a new namespace. The API alone decides what a code may be; its words are shown at
// the field that they are about.
import { Button, TextInput } from "@mantine/core";
import { useState, type ReactNode, type SyntheticEvent } from "react";

import type { ApiError } from "@/api/http.ts";
import { useCreateNamespace } from "@/api/namespaces.ts";
import { Dialog } from "@/components/dialog.tsx";
import { Name } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import { useErrorText } from "@/components/states.tsx";
import { useMessages } from "@/components/view.ts";

import { fieldOf } from "./ask.ts";
import styles from "./namespaces.module.css";

export interface CreateProps {
  isOpen: boolean;
  onClose: () => void;
  onCreated: (code: string, name: string) => void;
}

export function Create({ isOpen, onClose, onCreated }: CreateProps) {
  const t = useMessages();
  const n = t.namespaces;
  return (
    <Dialog title={n.createTitle} isOpen={isOpen} onClose={onClose}>
      <Form onClose={onClose} onCreated={onCreated} />
    </Dialog>
  );
}

function Form({ onClose, onCreated }: Omit<CreateProps, "isOpen">) {
  const t = useMessages();
  const n = t.namespaces;
  const create = useCreateNamespace();
  const [code, setCode] = useState("");
  const [name, setName] = useState("");
  const problem = useProblem(create.error, create.variables?.code ?? "");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (create.isPending) return;
    const body = name === "" ? { code } : { code, name };
    create.mutate(body, {
      onSuccess: ({ data }) => {
        onCreated(data.code, data.name);
        onClose();
      },
    });
  };
  const typed = (set: (text: string) => void) => (event: { currentTarget: { value: string } }) => {
    set(event.currentTarget.value);
    create.reset();
  };
  return (
    <form className={styles.form} onSubmit={submit} noValidate>
      <TextInput
        label={n.code}
        description={n.codeRule}
        inputWrapperOrder={["label", "input", "error", "description"]}
        value={code}
        error={problem.code}
        required
        withAsterisk={false}
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        data-autofocus
        onChange={typed(setCode)}
      />
      <TextInput
        label={n.nameLabel}
        description={n.nameRule}
        inputWrapperOrder={["label", "input", "error", "description"]}
        value={name}
        error={problem.name}
        autoComplete="off"
        onChange={typed(setName)}
      />
      {problem.form !== undefined && (
        <p className={styles.failed} role="alert">
          {problem.form}
        </p>
      )}
      <div className={styles.buttons}>
        <Button variant="default" onClick={onClose}>
          {t.common.cancel}
        </Button>
        <Button type="submit" loading={create.isPending} disabled={code === ""}>
          {n.createDo}
        </Button>
      </div>
    </form>
  );
}

/** What went wrong, by field. */
function useProblem(error: ApiError | null, code: string) {
  const t = useMessages();
  const n = t.namespaces;
  const textOf = useErrorText();
  const problem: { code?: ReactNode; name?: ReactNode; form?: ReactNode } = {};
  if (error === null) return problem;
  if (error.status === 409) {
    problem.code = (
      <span role="alert">
        {n.exists(code)}{" "}
        <PageLink to={namespacePath(code)}>{n.existsOpen}</PageLink>
      </span>
    );
    return problem;
  }
  const field = error.status === 400 ? fieldOf(error.message) : "form";
  problem[field] = (
    <span role="alert">
      <Name wraps>{textOf(error)}</Name>
    </span>
  );
  return problem;
}
