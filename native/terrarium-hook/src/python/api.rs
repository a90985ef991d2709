//! CPython's own functions, as far as they are the same from 3.8 on. No structure of it is looked into.

use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::mem::{MaybeUninit, transmute_copy};
use core::sync::atomic::{AtomicPtr, Ordering};
use core::{ptr, slice};

use crate::elf::{self, Object};

use super::entry::{self, Allocator};

/// A `PyObject *`.
pub(crate) type Ref = *mut c_void;

/// `Py_AuditHookFunction`.
pub(crate) type AuditHook = unsafe extern "C" fn(*const c_char, Ref, *mut c_void) -> c_int;

/// `PyMethodDef`: a function that is defined outside of Python.
#[repr(C)]
pub(crate) struct Method {
    pub(crate) name: *const c_char,
    pub(crate) function: unsafe extern "C" fn(Ref, *const Ref, isize) -> Ref,
    pub(crate) flags: c_int,
    pub(crate) doc: *const c_char,
}

// SAFETY: it is never written.
unsafe impl Sync for Method {}

/// Names of attributes and entries that are looked up. From 3.12 on, where interpreters may have a GIL each, CPython itself has
/// these texts, which are never freed and belong to no interpreter; those that it has not are looked up before 3.11 only, or once.
#[derive(Clone, Copy)]
pub(crate) enum Name {
    File,
    Initializing,
    Dunder,
    Path,
    Spec,
    Code,
    Constants,
    Names,
    CodeFile,
    CodeFlags,
    Back,
    Globals,
    UseTool,
    RegisterCallback,
    SetEvents,
    Disable,
}

/// Their texts, made when they are first used and kept.
static NAMES: [AtomicPtr<c_void>; 16] = [const { AtomicPtr::new(ptr::null_mut()) }; 16];

impl Name {
    fn text(self) -> &'static CStr {
        match self {
            Self::File => c"__file__",
            Self::Initializing => c"_initializing",
            Self::Dunder => c"__name__",
            Self::Path => c"__path__",
            Self::Spec => c"__spec__",
            Self::Code => c"co_code",
            Self::Constants => c"co_consts",
            Self::Names => c"co_names",
            Self::CodeFlags => c"co_flags",
            Self::CodeFile => c"co_filename",
            Self::Back => c"f_back",
            Self::Globals => c"f_globals",
            Self::UseTool => c"use_tool_id",
            Self::RegisterCallback => c"register_callback",
            Self::SetEvents => c"set_events",
            Self::Disable => c"DISABLE",
        }
    }
}

macro_rules! functions {
    (
        $(fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*
        optional: $(fn $maybe:ident($($maybe_argument:ty),*) $(-> $maybe_result:ty)?;)*
    ) => {
        /// The functions of one CPython.
        #[derive(Clone, Copy)]
        #[expect(non_snake_case, reason = "CPython's names")]
        pub(crate) struct Api {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            $($maybe: Option<unsafe extern "C" fn($($maybe_argument),*) $(-> $maybe_result)?>,)*
        }

        impl Api {
            /// Those that this object defines; `None` if one is missing.
            fn of(object: &Object<'_>) -> Option<Self> {
                // SAFETY: pointers to functions with these signatures, by CPython's documentation.
                unsafe {
                    Some(Self {
                        $($name: function(object, concat!(stringify!($name), "\0"))?,)*
                        $($maybe: function(object, concat!(stringify!($maybe), "\0")),)*
                    })
                }
            }
        }
    };
}

functions! {
    fn PySys_AddAuditHook(AuditHook, *mut c_void) -> c_int;
    fn Py_IsInitialized() -> c_int;
    fn PyMem_GetAllocator(c_int, *mut Allocator);
    fn PyMem_SetAllocator(c_int, *mut Allocator);
    fn Py_GetVersion() -> *const c_char;
    fn Py_DecRef(Ref);
    fn PySys_GetObject(*const c_char) -> Ref;
    fn PyModule_GetDict(Ref) -> Ref;
    fn PyDict_Next(Ref, *mut isize, *mut Ref, *mut Ref) -> c_int;
    fn PyDict_GetItem(Ref, Ref) -> Ref;
    fn PyUnicode_InternFromString(*const c_char) -> Ref;
    fn PyObject_GetAttr(Ref, Ref) -> Ref;
    fn PyTuple_GetItem(Ref, isize) -> Ref;
    fn PyTuple_Size(Ref) -> isize;
    fn PyList_GetItem(Ref, isize) -> Ref;
    fn PyList_Size(Ref) -> isize;
    fn PyUnicode_AsUTF8AndSize(Ref, *mut isize) -> *const c_char;
    fn PyBytes_AsStringAndSize(Ref, *mut *mut c_char, *mut isize) -> c_int;
    fn PyLong_AsLong(Ref) -> c_long;
    fn PyObject_IsTrue(Ref) -> c_int;
    fn PyObject_Type(Ref) -> Ref;
    fn PyEval_GetGlobals() -> Ref;
    fn PyEval_GetFrame() -> Ref;
    fn PyErr_Clear();
    fn PyTuple_New(isize) -> Ref;
    fn PyTuple_SetItem(Ref, isize, Ref) -> c_int;
    fn PyLong_FromLong(c_long) -> Ref;
    fn PyObject_CallObject(Ref, Ref) -> Ref;
    fn Py_IncRef(Ref);
    fn PyErr_Occurred() -> Ref;
    fn PyThread_get_thread_ident() -> c_ulong;
    optional:
    // From 3.9 and 3.11 on; before, attributes tell.
    fn PyFrame_GetBack(Ref) -> Ref;
    fn PyFrame_GetGlobals(Ref) -> Ref;
    fn PyImport_GetModuleDict() -> Ref;
    // From 3.13 on, and before.
    fn Py_IsFinalizing() -> c_int;
    fn _Py_IsFinalizing() -> c_int;
    // For `sys.monitoring`, from 3.12 on.
    fn PyCFunction_NewEx(*mut c_void, Ref, Ref) -> Ref;
    // For those that were built without a GIL, from 3.13 on.
    fn PyCriticalSection_Begin(*mut [usize; 4], Ref);
    fn PyCriticalSection_End(*mut [usize; 4]);
}

/// # Safety
/// `name` ends with a zero and is a function of type `T`.
unsafe fn function<T>(object: &Object<'_>, name: &str) -> Option<T> {
    let found = object.symbol(CStr::from_bytes_with_nul(name.as_bytes()).ok()?)?;
    // SAFETY: `T` is a pointer to a function, by the caller.
    Some(unsafe { transmute_copy(&found) })
}

/// A reference that is ours to give back.
pub(crate) struct Owned<'a> {
    api: &'a Api,
    object: Ref,
}

impl Owned<'_> {
    pub(crate) fn get(&self) -> Ref {
        self.object
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: owned, and dropped once.
        unsafe { (self.api.Py_DecRef)(self.object) };
    }
}

/// What is wanted of CPython. All of it is called by the audit hook, which holds the GIL (or what there is in its place), with no
/// exception set; none is left set. References are borrowed, and used before anything else of Python can run, unless they are
/// [`Owned`].
impl Api {
    /// The functions of the CPython of 3.8 or later that is loaded, if there is one.
    pub(crate) fn find() -> Option<Self> {
        let mut api = None;
        elf::each(&mut |object| {
            api = Self::in_object(object);
            api.is_none()
        });
        api
    }

    /// The functions of a CPython in this object.
    pub(crate) fn in_object(object: &Object<'_>) -> Option<Self> {
        object.symbol(c"PySys_AddAuditHook")?;
        Self::of(object)
    }

    /// What `PyMem_RawMalloc` and `PyMem_RawFree` use now.
    pub(super) fn raw_allocator(&self) -> Allocator {
        let mut allocator = MaybeUninit::uninit();
        // SAFETY: CPython fills in the structure, also before it is initialised: there always is such an allocator.
        unsafe {
            (self.PyMem_GetAllocator)(0, allocator.as_mut_ptr());
            allocator.assume_init()
        }
    }

    /// Sets it.
    pub(super) fn set_raw_allocator(&self, mut allocator: Allocator) {
        // SAFETY: it is copied; its functions do what the ones before them do.
        unsafe { (self.PyMem_SetAllocator)(0, &raw mut allocator) };
    }

    /// Adds an audit hook. Only before the interpreter is initialised: then nobody can object and no thread is needed.
    pub(crate) fn add_audit_hook(&self, hook: AuditHook) -> bool {
        // SAFETY: both may be called before initialisation.
        unsafe {
            (self.Py_IsInitialized)() == 0
                && entry::noted(self, || (self.PySys_AddAuditHook)(hook, ptr::null_mut()) == 0)
        }
    }

    /// Such as `3.11.7 (main, …) [GCC …]`.
    pub(crate) fn version(&self) -> &'static CStr {
        // SAFETY: a static string, also before initialisation.
        unsafe { CStr::from_ptr((self.Py_GetVersion)()) }
    }

    /// `sys.<name>`.
    pub(crate) fn sys(&self, name: &CStr) -> Option<Ref> {
        // SAFETY: see above. It sets no exception.
        some(unsafe { (self.PySys_GetObject)(name.as_ptr()) })
    }

    /// `sys.modules` of the interpreter that runs; `None` once that is being taken apart.
    pub(crate) fn modules(&self) -> Option<Ref> {
        self.sys(c"modules")
    }

    /// The same, quicker, where there is one interpreter and it is not being taken apart: this would end the process then. If a
    /// program has put another dictionary into the place of the first, this is the first.
    pub(crate) fn only_modules(&self) -> Option<Ref> {
        let is_ending = self.Py_IsFinalizing.or(self._Py_IsFinalizing)?;
        // SAFETY: see above.
        unsafe {
            if is_ending() != 0 {
                return None;
            }
            some(self.PyImport_GetModuleDict?())
        }
    }

    /// The namespace of a module; `None` if it is none.
    pub(crate) fn namespace(&self, module: Ref) -> Option<Ref> {
        // SAFETY: see above; it checks the type.
        let namespace = some(unsafe { (self.PyModule_GetDict)(module) });
        self.clear_unless(namespace.is_some());
        namespace
    }

    /// The entry of a dictionary at or after `position`, which is set behind it: key and value.
    pub(crate) fn next(&self, dictionary: Ref, position: &mut isize) -> Option<(Ref, Ref)> {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: see above; nothing changes the dictionary meanwhile.
        let found = unsafe { (self.PyDict_Next)(dictionary, position, &raw mut key, &raw mut value) };
        (found != 0).then_some((key, value))
    }

    /// `dictionary[name]`.
    pub(crate) fn item(&self, dictionary: Ref, name: Name) -> Option<Ref> {
        let name = self.name(name)?;
        // SAFETY: see above; it swallows exceptions.
        some(unsafe { (self.PyDict_GetItem)(dictionary, name) })
    }

    /// The text of a name.
    fn name(&self, name: Name) -> Option<Ref> {
        let place = &NAMES[name as usize];
        let known = place.load(Ordering::Relaxed);
        if !known.is_null() {
            return Some(known);
        }
        // SAFETY: see above.
        let text = unsafe { (self.PyUnicode_InternFromString)(name.text().as_ptr()) };
        self.clear_unless(!text.is_null());
        place.store(text, Ordering::Relaxed);
        some(text)
    }

    /// An element of a tuple; `None` also if it is none.
    pub(crate) fn element(&self, tuple: Ref, index: isize) -> Option<Ref> {
        // SAFETY: see above; it checks type and index.
        let element = some(unsafe { (self.PyTuple_GetItem)(tuple, index) });
        self.clear_unless(element.is_some());
        element
    }

    /// How long a tuple is; 0 if it is none.
    pub(crate) fn length(&self, tuple: Ref) -> isize {
        // SAFETY: see above; it checks the type.
        let length = unsafe { (self.PyTuple_Size)(tuple) };
        self.clear_unless(length >= 0);
        length.max(0)
    }

    /// An element of a list; `None` also if it is none.
    pub(crate) fn list_element(&self, list: Ref, index: isize) -> Option<Ref> {
        // SAFETY: see above; it checks type and index.
        unsafe {
            let length = (self.PyList_Size)(list);
            self.clear_unless(length >= 0);
            if index >= length {
                return None;
            }
            some((self.PyList_GetItem)(list, index))
        }
    }

    /// The bytes of a text; `None` if it is none, or not to be had in UTF-8. They live as long as the text.
    pub(crate) fn text<'a>(&self, text: Ref) -> Option<&'a [u8]> {
        let mut length = 0;
        // SAFETY: see above; it checks the type.
        let start = unsafe { (self.PyUnicode_AsUTF8AndSize)(text, &raw mut length) };
        self.clear_unless(!start.is_null());
        // SAFETY: CPython's pointer and length.
        (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length.cast_unsigned()) })
    }

    /// The bytes of a text, or `None` for `None`.
    pub(crate) fn text_or_none<'a>(&self, text: Ref) -> Option<&'a [u8]> {
        if self.is_true(text) { self.text(text) } else { None }
    }

    /// The bytes of a `bytes`.
    pub(crate) fn bytes<'a>(&self, bytes: Ref) -> Option<&'a [u8]> {
        let (mut start, mut length) = (ptr::null_mut(), 0);
        // SAFETY: see above; it checks the type.
        let failed = unsafe { (self.PyBytes_AsStringAndSize)(bytes, &raw mut start, &raw mut length) } != 0;
        self.clear_unless(!failed);
        // SAFETY: CPython's pointer and length.
        (!failed).then(|| unsafe { slice::from_raw_parts(start.cast(), length.cast_unsigned()) })
    }

    /// A small number.
    pub(crate) fn number(&self, number: Ref) -> Option<i64> {
        // SAFETY: see above.
        unsafe {
            let value = (self.PyLong_AsLong)(number);
            if value == -1 && !(self.PyErr_Occurred)().is_null() {
                (self.PyErr_Clear)();
                return None;
            }
            Some(value)
        }
    }

    /// An attribute of an object whose class runs no code for it.
    pub(crate) fn attribute(&self, object: Ref, name: Name) -> Option<Owned<'_>> {
        let name = self.name(name)?;
        // SAFETY: see above.
        self.owned(unsafe { (self.PyObject_GetAttr)(object, name) })
    }

    /// The class of an object.
    pub(crate) fn class(&self, object: Ref) -> Option<Owned<'_>> {
        // SAFETY: see above.
        self.owned(unsafe { (self.PyObject_Type)(object) })
    }

    /// An attribute that is looked up rarely.
    pub(crate) fn rare_attribute(&self, object: Ref, name: &CStr) -> Option<Owned<'_>> {
        let name = self.new_text(name)?;
        // SAFETY: see above.
        self.owned(unsafe { (self.PyObject_GetAttr)(object, name.object) })
    }

    /// A new number.
    pub(crate) fn new_number(&self, number: c_long) -> Option<Owned<'_>> {
        // SAFETY: see above.
        self.owned(unsafe { (self.PyLong_FromLong)(number) })
    }

    /// A new text.
    pub(crate) fn new_text(&self, text: &CStr) -> Option<Owned<'_>> {
        // SAFETY: see above.
        self.owned(unsafe { (self.PyUnicode_InternFromString)(text.as_ptr()) })
    }

    /// A new function; `None` also where there is no `sys.monitoring`.
    pub(crate) fn new_function(&self, definition: &'static Method) -> Option<Owned<'_>> {
        let definition = ptr::from_ref(definition).cast::<c_void>().cast_mut();
        // SAFETY: see above; CPython does not write to the definition, which lives for ever.
        self.owned(unsafe { self.PyCFunction_NewEx?(definition, ptr::null_mut(), ptr::null_mut()) })
    }

    /// Calls a function; an exception is `None`.
    pub(crate) fn call(&self, function: Ref, arguments: &[&Owned<'_>]) -> Option<Owned<'_>> {
        // SAFETY: see above; the tuple takes the reference that is made for it.
        unsafe {
            let tuple = self.owned((self.PyTuple_New)(arguments.len().cast_signed()))?;
            for (index, argument) in (0..).zip(arguments) {
                (self.Py_IncRef)(argument.object);
                (self.PyTuple_SetItem)(tuple.object, index, argument.object);
            }
            self.owned((self.PyObject_CallObject)(function, tuple.object))
        }
    }

    /// The thread that runs.
    pub(crate) fn thread(&self) -> c_ulong {
        // SAFETY: may be called at any time.
        unsafe { (self.PyThread_get_thread_ident)() }
    }

    /// Keeps a borrowed object alive, while code of others may run.
    pub(crate) fn hold(&self, object: Ref) -> Owned<'_> {
        Owned { api: self, object: self.give(object) }
    }

    /// `None`, or any other object that is to be returned to Python.
    pub(crate) fn give(&self, object: Ref) -> Ref {
        // SAFETY: see above.
        unsafe { (self.Py_IncRef)(object) };
        object
    }

    fn owned(&self, object: Ref) -> Option<Owned<'_>> {
        self.clear_unless(!object.is_null());
        (!object.is_null()).then_some(Owned { api: self, object })
    }

    /// Whether an object, of a built-in type, is true.
    pub(crate) fn is_true(&self, object: Ref) -> bool {
        // SAFETY: see above.
        let truth = unsafe { (self.PyObject_IsTrue)(object) };
        self.clear_unless(truth >= 0);
        truth == 1
    }

    /// The global names of the Python code that runs; `None` if there is none.
    pub(crate) fn globals(&self) -> Option<Ref> {
        // SAFETY: see above.
        let globals = some(unsafe { (self.PyEval_GetGlobals)() });
        self.clear_unless(globals.is_some());
        globals
    }

    /// The frame that runs.
    pub(crate) fn frame(&self) -> Option<Ref> {
        // SAFETY: see above.
        some(unsafe { (self.PyEval_GetFrame)() })
    }

    /// The frame that called a frame.
    pub(crate) fn caller(&self, frame: Ref) -> Option<Owned<'_>> {
        match self.PyFrame_GetBack {
            Some(back) => {
                // SAFETY: see above.
                let object = unsafe { back(frame) };
                (!object.is_null()).then_some(Owned { api: self, object })
            }
            None => self.attribute(frame, Name::Back),
        }
    }

    /// The global names of a frame.
    pub(crate) fn globals_of(&self, frame: Ref) -> Option<Owned<'_>> {
        match self.PyFrame_GetGlobals {
            Some(globals) => {
                // SAFETY: see above.
                let object = unsafe { globals(frame) };
                (!object.is_null()).then_some(Owned { api: self, object })
            }
            None => self.attribute(frame, Name::Globals),
        }
    }

    /// Runs `act` while no other thread can change an object, where there is no GIL.
    pub(crate) fn alone<T>(&self, object: Ref, act: impl FnOnce() -> T) -> T {
        let (Some(begin), Some(end)) = (self.PyCriticalSection_Begin, self.PyCriticalSection_End) else {
            return act();
        };
        // Longer than the structure is.
        let mut section = [0; 4];
        // SAFETY: begun and ended in the same thread, in order.
        unsafe { begin(&raw mut section, object) };
        let result = act();
        // SAFETY: as above.
        unsafe { end(&raw mut section) };
        result
    }

    fn clear(&self) {
        // SAFETY: see above.
        unsafe { (self.PyErr_Clear)() };
    }

    fn clear_unless(&self, well: bool) {
        if !well {
            self.clear();
        }
    }
}

fn some(object: Ref) -> Option<Ref> {
    (!object.is_null()).then_some(object)
}
