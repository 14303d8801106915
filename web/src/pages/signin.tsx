import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { told } from '../api';
import { signIn } from '../hub';
import { LOCALES, locale, speak, t, type Locale } from '../i18n';

/** Stands in the place of any page: after it, that page is there. */
export function SignIn({ ended }: { ended: boolean }): JSX.Element {
  const [password, setPassword] = useState('');
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = `${t('signin.title')} · Aldis`;
    field.current?.focus();
  }, []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await signIn(password);
    } catch (problem) {
      setError(problem);
      setBusy(false);
      field.current?.select();
    }
  }

  return (
    <main class="signin">
      <form onSubmit={(event) => void submit(event)}>
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
          <circle cx="16" cy="16" r="10.5" />
          <path d="M7.5 12h17M6 16h20M7.5 20h17" />
        </svg>
        <h1>{t('signin.title')}</h1>
        {ended && <p class="quiet">{t('signin.ended')}</p>}
        {/* For password managers, which want to know whose password it is. */}
        <input type="text" name="username" autocomplete="username" value="owner" hidden readOnly />
        <label for="password">{t('signin.password')}</label>
        <div class="row">
          <input
            ref={field}
            id="password"
            {...({ type: shown ? 'text' : 'password' } as { type: 'password' })}
            autocomplete="current-password"
            required
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
            aria-describedby="signin-hint signin-error"
            aria-invalid={error !== null}
          />
          <button type="button" class="plain" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {t('signin.show')}
          </button>
        </div>
        <p id="signin-error" role="alert" class="bad">{error !== null && told(error)}</p>
        <button type="submit" class="primary" disabled={busy || password === ''}>{t('signin.button')}</button>
        <p id="signin-hint" class="quiet">{t('signin.hint')}</p>
        <p class="languages">
          {(Object.keys(LOCALES) as Locale[]).map((language) => (
            <button
              key={language}
              type="button"
              class="plain"
              lang={language}
              aria-pressed={locale.value === language}
              onClick={() => speak(language)}
            >
              {LOCALES[language].name}
            </button>
          ))}
        </p>
      </form>
    </main>
  );
}
